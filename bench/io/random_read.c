// A guest program without a C library: random 4 KiB reads of a disk, one at a time, past the page
// cache. random_read DEVICE COUNT MEBIBYTES: prints the total, the least and the median time in ns.
typedef unsigned long u64;
typedef long i64;

enum { kOpenat = 56, kWrite = 64, kPread = 67, kExit = 93, kClockGettime = 113 };
enum { kMost = 20000, kBlock = 4096, kDirect = 0200000, kMonotonic = 1, kAtCwd = -100 };

static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d) {
  register i64 x8 __asm__("x8") = number;
  register i64 x0 __asm__("x0") = a;
  register i64 x1 __asm__("x1") = b;
  register i64 x2 __asm__("x2") = c;
  register i64 x3 __asm__("x3") = d;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}

static char buffer[kBlock] __attribute__((aligned(kBlock)));
static u64 times[kMost];

static u64 now(void) {
  u64 t[2];
  call(kClockGettime, kMonotonic, (i64)t, 0, 0);
  return t[0] * 1000000000 + t[1];
}

static u64 number(const char* text) {
  u64 n = 0;
  for (; *text >= '0' && *text <= '9'; ++text) n = n * 10 + (u64)(*text - '0');
  return n;
}

static void print(u64 n, char end) {
  char text[24];
  int at = sizeof text;
  text[--at] = end;
  do {
    text[--at] = (char)('0' + n % 10);
  } while (n /= 10);
  call(kWrite, 1, (i64)(text + at), (i64)sizeof text - at, 0);
}

static void sort(u64* v, i64 n) {  // Shell's: short, and fast enough
  for (i64 gap = n / 2; gap > 0; gap /= 2) {
    for (i64 i = gap; i < n; ++i) {
      u64 x = v[i];
      i64 j = i;
      for (; j >= gap && v[j - gap] > x; j -= gap) v[j] = v[j - gap];
      v[j] = x;
    }
  }
}

__attribute__((used)) void start(u64* stack) {
  const char** argv = (const char**)(stack + 1);
  u64 count = number(argv[2]), blocks = number(argv[3]) * (1048576 / kBlock);
  if (count > kMost) count = kMost;
  i64 file = call(kOpenat, kAtCwd, (i64)argv[1], kDirect, 0);
  if (file < 0 || count == 0 || blocks == 0) call(kExit, 1, 0, 0, 0);
  u64 random = 88172645463325252, begin = now(), last = begin;
  for (u64 i = 0; i < count; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    if (call(kPread, file, (i64)buffer, kBlock, (i64)(random % blocks * kBlock)) != kBlock) {
      call(kExit, 2, 0, 0, 0);
    }
    u64 t = now();
    times[i] = t - last;
    last = t;
  }
  sort(times, (i64)count);
  print(last - begin, ' ');
  print(times[0], ' ');
  print(times[count / 2], '\n');
  call(kExit, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov x0, sp\n b start\n");
