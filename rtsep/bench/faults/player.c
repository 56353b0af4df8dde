/* A JACK client that plays microphones from memory, for ever, and writes down what it hears, sample by sample.

   player SERVER NAME CHANNELS MILLISECONDS IN OUT: IN and OUT are open files that are mapped. IN is
   float32[CHANNELS][loop]; OUT is `struct tape`, int64[stamps] (ns of CLOCK_MONOTONIC at which each period came), and
   float32[CHANNELS][capacity], whose memory is had a little ahead of what is heard. MILLISECONDS lie between one port and the next, as a card's driver that takes its time.
   JACK's headers are often not installed: its few prototypes stand here. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct _jack_client jack_client_t;
typedef struct _jack_port jack_port_t;
extern jack_client_t *jack_client_open(const char *name, int options, int *status, ...);
extern int jack_client_close(jack_client_t *);
extern int jack_activate(jack_client_t *);
extern int jack_set_process_callback(jack_client_t *, int (*)(uint32_t, void *), void *);
extern int jack_set_xrun_callback(jack_client_t *, int (*)(void *), void *);
extern void jack_on_shutdown(jack_client_t *, void (*)(void *), void *);
extern jack_port_t *jack_port_register(jack_client_t *, const char *, const char *, unsigned long, unsigned long);
extern void *jack_port_get_buffer(jack_port_t *, uint32_t);
extern uint32_t jack_get_sample_rate(jack_client_t *);
extern uint32_t jack_get_buffer_size(jack_client_t *);
enum { AHEAD_SECONDS = 2, PAGE = 1024 };   /* samples: of 4096 bytes */
enum { NO_START = 1, EXACT_NAME = 2, SERVER_NAME = 4, IS_INPUT = 1, IS_OUTPUT = 2, MOST = 64 };

struct tape {
    int64_t heard, capacity, stamps, state, period, rate, xruns, place, active_ns, calls, loop, spare[5];
};
enum { STARTING = 0, PLAYING = 1, DEAD = 2 };

static struct tape *tape;
static int64_t *stamp;
static float *sound, *loop;
static jack_port_t *in[MOST], *out[MOST];
static volatile int channels, stopped;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int process(uint32_t frames, void *unused) {
    (void)unused;
    int64_t at = tape->heard, place = tape->place;
    int room = at + frames <= tape->capacity && tape->calls < tape->stamps;
    if (room)
        stamp[tape->calls] = now_ns();
    for (int c = 0; c < channels; c++) {
        float *play = jack_port_get_buffer(out[c], frames);
        for (uint32_t done = 0, part; done < frames; done += part) {
            int64_t from = (place + done) % tape->loop;
            part = frames - done < tape->loop - from ? frames - done : (uint32_t)(tape->loop - from);
            memcpy(play + done, loop + c * tape->loop + from, part * sizeof(float));
        }
        if (room)
            memcpy(sound + c * tape->capacity + at, jack_port_get_buffer(in[c], frames), frames * sizeof(float));
    }
    tape->place = (place + frames) % tape->loop;
    if (room) {
        tape->calls++;
        __atomic_store_n(&tape->heard, at + frames, __ATOMIC_RELEASE);
    }
    return 0;
}

static int xrun(void *unused) {
    (void)unused;
    tape->xruns++;
    return 0;
}

static void shutdown_(void *unused) {
    (void)unused;
    tape->state = DEAD;
    stopped = 1;
}

static void stop(int unused) {
    (void)unused;
    stopped = 1;
}

/* Touch what will be written soon: the callback itself should not have to wait for memory. */
static void get_memory(int all) {
    static int64_t had;
    int64_t until = tape->heard + AHEAD_SECONDS * tape->rate;
    if (until > tape->capacity)
        until = tape->capacity;
    for (; had < until; had += PAGE)
        for (int c = 0; c < all; c++)
            (void)*(volatile float *)(sound + c * tape->capacity + had);
}

int main(int count, char **given) {
    if (count != 7)
        return 2;
    int all = atoi(given[3]), pause_ms = atoi(given[4]), in_fd = atoi(given[5]), out_fd = atoi(given[6]), status;
    struct stat size;
    if (all > MOST || fstat(in_fd, &size))
        return 2;
    loop = mmap(NULL, size.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, in_fd, 0);
    if (fstat(out_fd, &size))
        return 2;
    tape = mmap(NULL, size.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, out_fd, 0);
    if (loop == MAP_FAILED || tape == MAP_FAILED)
        return 2;
    stamp = (int64_t *)(tape + 1);
    sound = (float *)(stamp + tape->stamps);
    signal(SIGTERM, stop);
    pid_t parent = getppid();
    jack_client_t *client = jack_client_open(given[2], NO_START | EXACT_NAME | SERVER_NAME, &status, given[1]);
    if (!client)
        return 3;
    tape->rate = jack_get_sample_rate(client);
    tape->period = jack_get_buffer_size(client);
    get_memory(all);
    jack_set_process_callback(client, process, NULL);
    jack_set_xrun_callback(client, xrun, NULL);
    jack_on_shutdown(client, shutdown_, NULL);
    if (jack_activate(client))
        return 3;
    for (int c = 0; c < all && !stopped; c++) {
        char name[16];
        snprintf(name, sizeof name, "mic_%d", c + 1);
        out[c] = jack_port_register(client, name, "32 bit float mono audio", IS_OUTPUT, 0);
        snprintf(name, sizeof name, "ear_%d", c + 1);
        in[c] = jack_port_register(client, name, "32 bit float mono audio", IS_INPUT, 0);
        if (!out[c] || !in[c])
            return 3;
        channels = c + 1;
        usleep(1000 * pause_ms);
    }
    tape->active_ns = now_ns();
    if (tape->state == STARTING)
        tape->state = PLAYING;
    while (!stopped && getppid() == parent) {
        get_memory(all);
        usleep(5000);
    }
    if (tape->state != DEAD)
        jack_client_close(client);
    return 0;
}
