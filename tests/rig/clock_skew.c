/* A preload library that shifts CLOCK_REALTIME, and nothing else, for one process tree.
 *
 * The file named by CLOCK_SKEW_FILE holds one native 64-bit integer: the shift in nanoseconds.
 * It is mapped, so a write to it steps the clock of running processes at once.
 *
 * Durations stay true. The monotonic clocks are left alone, and a wait until an absolute
 * CLOCK_REALTIME deadline that the process computed from the shifted clock is shifted back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t *shift_ns;
static const int64_t none = 0;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_sem_timedwait)(sem_t *, const struct timespec *);

/* Also called on first use: constructors of other libraries may ask the time before ours runs. */
__attribute__((constructor)) static void set_up(void)
{
    if (shift_ns != NULL)
        return;
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_sem_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
    const int64_t *found = &none;
    const char *path = getenv("CLOCK_SKEW_FILE");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED)
            found = page;
        close(file);
    }
    shift_ns = found;
}

static void shift(struct timespec *moment, int64_t by_ns)
{
    int64_t total = (int64_t)moment->tv_sec * SECOND + moment->tv_nsec + by_ns;
    moment->tv_sec = total / SECOND;
    moment->tv_nsec = total % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *moment)
{
    set_up();
    int status = real_clock_gettime(clock, moment);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(moment, *shift_ns);
    return status;
}

int gettimeofday(struct timeval *restrict moment, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    moment->tv_sec = now.tv_sec;
    moment->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *moment)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (moment != NULL)
        *moment = now.tv_sec;
    return now.tv_sec;
}

/* Python before 3.11 waits for locks with this one. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    set_up();
    struct timespec true_deadline = *deadline;
    shift(&true_deadline, -*shift_ns);
    return real_sem_timedwait(semaphore, &true_deadline);
}
