// What DPF wants to know before it compiles.
#ifndef CHANNELS
#define CHANNELS 1
#endif
#ifndef INPUTS
#define INPUTS CHANNELS
#endif
#define DISTRHO_PLUGIN_BRAND "rtsep"
#define DISTRHO_PLUGIN_NAME "Tested"
#define DISTRHO_PLUGIN_URI "urn:rtsep:tested"
#define DISTRHO_PLUGIN_BRAND_ID Rtsp
#define DISTRHO_PLUGIN_UNIQUE_ID Tstd
#define DISTRHO_PLUGIN_NUM_INPUTS INPUTS
#define DISTRHO_PLUGIN_NUM_OUTPUTS CHANNELS
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_HAS_UI 0
#if INPUTS == 0
#define DISTRHO_PLUGIN_IS_SYNTH 1
#endif
