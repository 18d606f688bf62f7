// How a loop of the benchmark guests is measured: the median of short batches, so that a disturbed
// one does not count. A line is `BENCH name ns`, nanoseconds an operation.
#ifndef TRAPLINE_BENCH_GUEST_MEASURE_H_
#define TRAPLINE_BENCH_GUEST_MEASURE_H_

#include "driven.h"
#include "guest.h"

#define BATCHES 31

static void sort(uint64_t* a, unsigned n) {
  for (unsigned i = 1; i < n; ++i) {
    const uint64_t v = a[i];
    unsigned j = i;
    for (; j > 0 && a[j - 1] > v; --j) a[j] = a[j - 1];
    a[j] = v;
  }
}

// Prints picoseconds as nanoseconds.
static void report(const char* name, uint64_t ps) {
  put_text("BENCH ");
  put_text(name);
  put_char(' ');
  put_number(ps / 1000);
  put_char('.');
  put_char('0' + ps / 100 % 10);
  put_char('0' + ps / 10 % 10);
  put_char('0' + ps % 10);
  put_char('\n');
}

static uint64_t ticks_to_ps(uint64_t ticks, uint64_t operations) {
  return ticks * (1000000000000 / frequency()) / operations;
}

static void bench(const char* name, Loop* loop, uint64_t per) {
  const uint64_t wanted = frequency() / 5000;  // 0.2 ms a batch
  uint64_t times = 16, batch[BATCHES];
  for (;;) {
    const uint64_t start = now();
    loop(times);
    const uint64_t took = now() - start;
    if (took >= wanted || times >= 1u << 30) break;
    times *= 2;
  }
  for (unsigned i = 0; i < BATCHES; ++i) {
    const uint64_t start = now();
    loop(times);
    batch[i] = ticks_to_ps(now() - start, times * per);
  }
  sort(batch, BATCHES);
  report(name, batch[BATCHES / 2]);
}

#endif  // TRAPLINE_BENCH_GUEST_MEASURE_H_
