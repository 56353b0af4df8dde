"""What rtsep is measured with: tables that anyone can make again."""
