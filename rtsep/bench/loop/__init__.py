"""Loop-back: sound goes out and comes back, and how late, through the engine alone, JACK or a sound card."""
