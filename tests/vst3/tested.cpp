// A delay with a gain, that says what latency it has, or another one, and misbehaves once it is armed: it crashes on its
// 100th block from then on, hangs there, answers what is no number, or takes 5 ms every 20th block. Others take their gain
// over a block late, or half of it. One learns once it is armed: from then on it is softer, and later, until another state
// is loaded; no parameter says so.
#include "DistrhoPlugin.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <dlfcn.h>
#include <limits>
#include <string>
#include <thread>
#include <vector>

// What it is to do stands in the name of its file, so that one compilation serves for all: see tests/made_plugins.py.
static std::string kind() {
    Dl_info found;
    if (!dladdr(reinterpret_cast<const void*>(&kind), &found)) return "";
    const std::string path = found.dli_fname;
    return path.substr(path.rfind('/') + 1);
}
static bool is(const char* const what) { return kind().find(what) != std::string::npos; }
static const int when_loaded = is("unloadable") ? raise(SIGSEGV) : 0;

START_NAMESPACE_DISTRHO

class Tested : public Plugin {
    enum { GAIN, ARM, DELAY, TONE, MODE, COUNT };
    const bool crashes = is("crash"), hangs = is("hang"), lies = is("liar"), slow = is("slow"), none = is("nonumber"),
               late = is("late"), forgets = is("forgetful"), learns = is("learner");
    bool learnt = false;
    float values[COUNT] = {0.0f, is("armed") ? 1.0f : 0.0f, 32.0f, 1000.0f, 0.0f};
    std::vector<float> line[2] = {std::vector<float>(1024), std::vector<float>(1024)};
    uint32_t at = 0, blocks = 0;
    float gain_before = 0.0f;   // of the block before

  public:
    Tested() : Plugin(COUNT, 0, 1) { say(32); }

  protected:
    const char* getLabel() const override { return "tested"; }
    const char* getMaker() const override { return "rtsep"; }
    const char* getLicense() const override { return "GPL-3.0-or-later"; }
    uint32_t getVersion() const override { return d_version(1, 2, 3); }
    int64_t getUniqueId() const override { return d_cconst('T', 's', 't', 'd'); }

    void initParameter(uint32_t index, Parameter& parameter) override {
        static const char* const names[] = {"Gain", "Armed", "Delay (look-ahead)", "Tone", "Mode"};
        static const float low[] = {-20, 0, 0, 20, 0}, high[] = {20, 1, 512, 20000, 2};
        parameter.hints = kParameterIsAutomatable;
        parameter.name = names[index];
        parameter.symbol = names[index];
        parameter.ranges.min = low[index];
        parameter.ranges.max = high[index];
        parameter.ranges.def = values[index];
        if (index == GAIN) parameter.unit = "dB";
        if (index == ARM) parameter.hints |= kParameterIsBoolean | kParameterIsInteger;
        if (index == DELAY) parameter.hints |= kParameterIsInteger;
        if (index == TONE) { parameter.unit = "Hz"; parameter.hints |= kParameterIsLogarithmic; }
        if (index == MODE) {
            parameter.hints |= kParameterIsInteger;
            parameter.enumValues.count = 3;
            parameter.enumValues.restrictedMode = true;
            parameter.enumValues.values = new ParameterEnumerationValue[3];
            static const char* const labels[] = {"Soft", "Hard", "Mute"};
            for (int n = 0; n < 3; n++) {
                parameter.enumValues.values[n].value = n;
                parameter.enumValues.values[n].label = labels[n];
            }
        }
    }

    float getParameterValue(uint32_t index) const override { return values[index]; }

    void setParameterValue(uint32_t index, float value) override {
        values[index] = forgets && index == GAIN ? value / 2 : value;
        if (index == DELAY) say(uint32_t(value));
        if (index == ARM) blocks = 0;
    }

    void initState(uint32_t, State& state) override {
        state.key = "learnt";
        state.defaultValue = "no";
    }

    String getState(const char*) const override { return String(learnt ? "yes" : "no"); }

    void setState(const char*, const char* value) override { learn(std::string(value) == "yes"); }

    void learn(bool on) {
        learnt = on;
        say(uint32_t(values[DELAY]));
    }

    void activate() override {
        for (auto& one : line) one.assign(1024, 0.0f);
    }

    void say(uint32_t delay) { setLatency(lies ? 0 : delay + (learnt ? 16 : 0)); }

#if INPUTS
    void run(const float** inputs, float** outputs, uint32_t frames) override {
#else
    void run(const float** inputs, float** outputs, uint32_t frames, const MidiEvent*, uint32_t) override {
#endif
        misbehave();
        const float gain = values[MODE] == 2 ? 0.0f : std::pow(10.0f, (late ? gain_before : values[GAIN]) / 20);
        gain_before = values[GAIN];
        if (learns && !learnt && values[ARM] > 0.5f) learn(true);
        const uint32_t delay = uint32_t(values[DELAY]) + (learnt ? 16 : 0);
        for (uint32_t n = 0; n < frames; n++, at++)
            for (int c = 0; c < CHANNELS; c++) {
                line[c][at % 1024] = INPUTS ? inputs[c][n] : 0.1f;
                outputs[c][n] = (learnt ? 0.25f : 1.0f) * gain * line[c][(at - delay) % 1024];
            }
        if (none && values[ARM] > 0.5f) outputs[0][frames / 2] = std::numeric_limits<float>::quiet_NaN();
    }

    void misbehave() {
        if (values[ARM] < 0.5f) return;
        blocks++;
        if (crashes && blocks == 100) raise(SIGSEGV);
        while (hangs && blocks >= 100) std::this_thread::sleep_for(std::chrono::seconds(1));
        if (slow && blocks % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
};

Plugin* createPlugin() { return new Tested(); }

END_NAMESPACE_DISTRHO
