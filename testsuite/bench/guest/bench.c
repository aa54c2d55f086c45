// bench NAME N   one piece of fixed work, N times. Plain x86-64 code, static: the same instructions everywhere.
// Each function is a row of ../rows.py and prints one line that every processor must agree on.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <signal.h>
#include <ucontext.h>
#include <emmintrin.h>

static volatile double dsink;
static volatile uint64_t usink;

// Double matrix multiply, 256x256, n times (packed SSE2 as gcc -O2 makes it). Two inputs: with exact results, and
// with inexact ones, which an emulator may take another path for.
enum { M = 256 };
static double A[M][M], B[M][M], C[M][M];
static void multiply(long n)
{
    for (long r = 0; r < n; r++) {
        memset(C, 0, sizeof C);
        for (int i = 0; i < M; i++)
            for (int k = 0; k < M; k++) {
                double a = A[i][k];
                for (int j = 0; j < M; j++)
                    C[i][j] += a * B[k][j];
            }
        dsink = C[r % M][7];
    }
}
static void matmul(long n)
{
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            A[i][j] = i + j * 0.5;
            B[i][j] = i - j * 0.25;
        }
    multiply(n);
    printf("matmul %.6g\n", C[17][33]);
}
static void matmul2(long n)
{
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            A[i][j] = i / 7.0 + j * 0.1;
            B[i][j] = i * 0.3 - j / 3.0;
        }
    multiply(n);
    printf("matmul2 %.17g\n", C[17][33]);
}

// long double: series with mul, div, add, sqrt
static void x87(long n)
{
    long double s = 0, x = 1.0000001L;
    for (long i = 1; i <= n; i++) {
        s += 1.0L / ((long double)i * x);
        x = x * 1.00000001L - 0.00000001L * x;
        if ((i & 15) == 0) s += __builtin_sqrtl(s + (long double)i);
        if (s > 1e6L) s -= 1e6L;
    }
    printf("x87 %.15Lg\n", s);
}

// random-cycle pointer chase over 64 MiB, one pointer a cache line
static void chase(long n)
{
    size_t bytes = 64u << 20, cnt = bytes / 64;
    char *m = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *perm = malloc(cnt * 4);
    for (size_t i = 0; i < cnt; i++) perm[i] = i;
    uint64_t s = 88172645463325252ull;
    for (size_t i = cnt - 1; i > 0; i--) {       // Sattolo: one cycle
        s ^= s << 13; s ^= s >> 7; s ^= s << 17;
        size_t j = s % i;
        uint32_t t = perm[i]; perm[i] = perm[j]; perm[j] = t;
    }
    for (size_t i = 0; i < cnt; i++)
        *(char **)(m + (size_t)perm[i] * 64) = m + (size_t)perm[(i + 1) % cnt] * 64;
    char *p = m;
    for (long i = 0; i < n; i++) p = *(char **)p;
    printf("chase %lu\n", (unsigned long)((p - m) / 64));
}

// SSE2 16-byte copy loop, 16 MiB buffers (no ifunc: same code everywhere)
static void memcopy(long n)
{
    size_t sz = 16u << 20;
    char *a = aligned_alloc(4096, sz), *b = aligned_alloc(4096, sz);
    memset(a, 1, sz); memset(b, 2, sz);
    for (long r = 0; r < n; r++) {
        __m128i *d = (__m128i *)b, *s = (__m128i *)a;
        for (size_t i = 0; i < sz / 16; i += 4) {
            __m128i x0 = _mm_loadu_si128(s + i), x1 = _mm_loadu_si128(s + i + 1);
            __m128i x2 = _mm_loadu_si128(s + i + 2), x3 = _mm_loadu_si128(s + i + 3);
            _mm_storeu_si128(d + i, x0); _mm_storeu_si128(d + i + 1, x1);
            _mm_storeu_si128(d + i + 2, x2); _mm_storeu_si128(d + i + 3, x3);
        }
        a[r % sz]++;
    }
    printf("memcopy %d\n", b[5]);
}

// rep movsq / rep stosb over 1 MiB
static void repstr(long n)
{
    size_t sz = 1u << 20;
    char *a = aligned_alloc(4096, sz), *b = aligned_alloc(4096, sz);
    memset(a, 1, sz);
    for (long r = 0; r < n; r++) {
        void *d = b, *s = a; size_t c = sz / 8;
        __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(c) :: "memory");
        d = a; c = sz;
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(c) : "a"((int)r) : "memory");
    }
    printf("repstr %d %d\n", a[9], b[5]);
}

// recursive calls/returns
static __attribute__((noinline)) uint64_t fib(unsigned n)
{
    if (n < 2) return n;
    uint64_t a = fib(n - 1);
    __asm__ volatile("" : "+r"(a));
    return a + fib(n - 2);
}
static void callret(long n)
{
    uint64_t s = 0;
    for (long i = 0; i < n; i++) s += fib(27);
    printf("callret %lu\n", (unsigned long)s);
}

// indirect-jump dispatch: a tiny bytecode interpreter with computed goto
static void dispatch(long n)
{
    static const unsigned char prog[] = {0,1,2,3,0,2,1,4,3,1,0,5,2,4,1,3,5,0,2,6};
    static void *const tab[] = {&&o0,&&o1,&&o2,&&o3,&&o4,&&o5,&&o6};
    uint64_t a = 1, b = 3; const unsigned char *pc = prog;
#define NEXT goto *tab[*pc++]
    NEXT;
o0: a += b; NEXT;
o1: b ^= a << 3; NEXT;
o2: a -= 7; NEXT;
o3: b += a >> 2; NEXT;
o4: a ^= b; NEXT;
o5: b = (b << 1) | (b >> 63); NEXT;
o6: if (--n > 0) { pc = prog; NEXT; }
    printf("dispatch %lx\n", (unsigned long)(a ^ b));
}

static void syscalls(long n)
{
    long s = 0;
    for (long i = 0; i < n; i++) s += syscall(SYS_getppid);
    usink = s;
    printf("syscall ok\n");
}

static void forkexec(long n)
{
    char *av[] = {"busybox", "true", 0}, *ev[] = {0};
    int bad = 0;
    for (long i = 0; i < n; i++) {
        pid_t p = fork();
        if (p == 0) { execve("/bin/busybox", av, ev); _exit(99); }
        int st; waitpid(p, &st, 0);
        if (st) bad++;
    }
    printf("forkexec bad=%d\n", bad);
}

static void pipepp(long n)
{
    int a[2], b[2]; char c = 'x';
    if (pipe(a) || pipe(b)) exit(1);
    pid_t p = fork();
    if (!p) {
        for (long i = 0; i < n; i++)
            if (read(a[0], &c, 1) != 1 || write(b[1], &c, 1) != 1) _exit(1);
        _exit(0);
    }
    for (long i = 0; i < n; i++)
        if (write(a[1], &c, 1) != 1 || read(b[0], &c, 1) != 1) exit(1);
    int st; waitpid(p, &st, 0);
    printf("pipe ok\n");
}

// mmap 16 MiB, touch every page, munmap
static void fault(long n)
{
    size_t sz = 16u << 20; uint64_t s = 0;
    for (long r = 0; r < n; r++) {
        char *m = mmap(0, sz, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(m, sz, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < sz; i += 4096) m[i] = r;
        s += m[4096];
        munmap(m, sz);
    }
    printf("fault %lu\n", (unsigned long)s);
}

// SIGSEGV delivery on a protected page (exception entry + signal + sigreturn)
static char *guard;
static void onsegv(int s, siginfo_t *si, void *uc)
{
    (void)s; (void)si;
    ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP] += 3; // movb $1,(%rax)
}
static void sigsegv(long n)
{
    struct sigaction sa = {0};
    sa.sa_sigaction = onsegv; sa.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &sa, 0);
    guard = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++)
        __asm__ volatile(".byte 0xc6,0x00,0x01" :: "a"(guard) : "memory");
    printf("sigsegv ok\n");
}

// JIT: write a fresh ~60-instruction function, call it 50 times, next slot
static void jit(long n)
{
    size_t sz = 1u << 20;
    unsigned char *buf = mmap(0, sz, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t off = 0; uint64_t s = 0, seed = 12345;
    for (long r = 0; r < n; r++) {
        if (off + 512 > sz) off = 0;
        unsigned char *p = buf + off, *p0 = p;
        *p++ = 0x48; *p++ = 0x89; *p++ = 0xf8;                 // mov rax, rdi
        for (int i = 0; i < 28; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            uint32_t imm = (uint32_t)(seed >> 33);
            *p++ = 0x48;                                        // add/xor/sub rax, imm32
            *p++ = i % 3 == 0 ? 0x05 : i % 3 == 1 ? 0x35 : 0x2d;
            memcpy(p, &imm, 4); p += 4;
            *p++ = 0x48; *p++ = 0xd1; *p++ = 0xc0;              // rol rax,1
        }
        *p++ = 0xc3;
        uint64_t (*f)(uint64_t) = (void *)p0;
        for (int i = 0; i < 50; i++) s += f(s ^ i);
        off += 320;
    }
    printf("jit %lx\n", (unsigned long)s);
}

// SMC: patch one immediate inside a small loop body and run it, over and over
static void smc(long n)
{
    unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // mov rax,rdi ; mov ecx,20 ; L: add rax,imm32 ; dec ecx ; jnz L ; ret
    unsigned char code[] = {0x48,0x89,0xf8, 0xb9,20,0,0,0, 0x48,0x05,0,0,0,0, 0xff,0xc9, 0x75,0xf6, 0xc3};
    memcpy(p, code, sizeof code);
    uint64_t (*f)(uint64_t) = (void *)p; uint64_t s = 0;
    for (long r = 0; r < n; r++) {
        *(volatile uint32_t *)(p + 10) = (uint32_t)r;
        s += f(s);
    }
    printf("smc %lx\n", (unsigned long)s);
}

int main(int c, char **v)
{
    static const struct { const char *n; void (*f)(long); } t[] = {
        {"matmul", matmul}, {"matmul2", matmul2}, {"x87", x87}, {"chase", chase}, {"memcopy", memcopy},
        {"repstr", repstr}, {"callret", callret}, {"dispatch", dispatch},
        {"syscall", syscalls}, {"forkexec", forkexec}, {"pipe", pipepp},
        {"fault", fault}, {"sigsegv", sigsegv}, {"jit", jit}, {"smc", smc}};
    if (c < 3) return 2;
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++)
        if (!strcmp(t[i].n, v[1])) { t[i].f(atol(v[2])); return 0; }
    return 2;
}
