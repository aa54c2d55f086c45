// Stand-alone driver of a fuzz target, where libFuzzer is not at hand: always the same inputs for
// the same arguments. fuzz_X [ITERATIONS [SEED]] mutates the target's seeds; fuzz_X -run FILE...
// repeats inputs; fuzz_X -write FOLDER writes the seeds as a corpus for libFuzzer. An input that
// crashes or takes more than 10 s is left in ./fuzz-failure and named on stderr.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "fuzz.h"

namespace {

using rm::u64;
using rm::u8;
using rm::fuzz::Bytes;

// The fixtures of the unit tests use doctest's REQUIRE outside of a test here.
struct Assertions {
    doctest::Context context;
    Assertions() {
        context.setAsDefaultForAssertsOutOfTestCases();
        context.setAssertHandler([](const doctest::AssertData& data) {
            if (!data.m_failed) return;
            std::fprintf(stderr, "%s:%d: %s\n", data.m_file, data.m_line, data.m_expr);
            std::abort();
        });
    }
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    static Assertions assertions;
    return 0;
}

#ifndef RM_LIBFUZZER

namespace {

const Bytes* g_current = nullptr;

void on_failure(int number) {
    static const char kText[] = "fuzz: failed; the input is in ./fuzz-failure\n";
    if (std::FILE* f = g_current ? std::fopen("fuzz-failure", "w") : nullptr) {
        std::fwrite(g_current->data(), 1, g_current->size(), f);
        std::fclose(f);
    }
    (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
    signal(number, SIG_DFL);
    raise(number);
}

class Random {
public:
    explicit Random(u64 seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}
    u64 next() {  // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1D;
    }
    size_t below(size_t n) { return n ? (next() >> 16) % n : 0; }

private:
    u64 state_;
};

void mutate(Bytes& bytes, Random& random) {
    static constexpr u8 kBytes[] = {0, 1, 0x7F, 0x80, 0xFF, 0x10};
    const size_t at = random.below(bytes.size());
    switch (bytes.empty() ? 3 : random.below(7)) {
        case 0: bytes[at] ^= static_cast<u8>(1u << random.below(8)); break;
        case 1: bytes[at] = kBytes[random.below(std::size(kBytes))]; break;
        case 2:  // a number of up to eight bytes
            for (size_t n = 0, v = random.next();
                 n < size_t{1} << random.below(4) && at + n < bytes.size(); ++n)
                bytes[at + n] = static_cast<u8>(v >> (8 * n));
            break;
        case 3:
            bytes.insert(bytes.begin() + static_cast<long>(at), random.below(16) + 1,
                         static_cast<u8>(random.next() >> 40));
            break;
        case 4:
            bytes.erase(bytes.begin() + static_cast<long>(at),
                        bytes.begin() +
                            static_cast<long>(std::min(at + 1 + random.below(16), bytes.size())));
            break;
        case 5: bytes.resize(at + 1); break;
        case 6: {
            const size_t from = random.below(bytes.size()),
                         n = random.below(std::min(bytes.size() - std::max(from, at), size_t{32}));
            std::memmove(&bytes[at], &bytes[from], n);
            break;
        }
    }
}

Bytes make_input(const std::vector<Bytes>& corpus, Random& random) {
    if (corpus.empty() || random.below(4) == 0) {
        Bytes bytes(random.below(random.below(8) ? 256 : 4096));
        for (u8& b : bytes) b = static_cast<u8>(random.next() >> 32);
        return bytes;
    }
    Bytes bytes = corpus[random.below(corpus.size())];
    for (size_t n = random.below(8) + 1; n > 0; --n) mutate(bytes, random);
    return bytes;
}

void run(const Bytes& bytes) {
    g_current = &bytes;
    alarm(10);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    alarm(0);
    g_current = nullptr;
}

Bytes read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

int main(int argc, char** argv) {
    LLVMFuzzerInitialize(&argc, &argv);
    for (int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM})
        signal(number, on_failure);
    const std::vector<Bytes> corpus = rm::fuzz::seeds();
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "-write" && argc == 3) {
        std::filesystem::create_directories(argv[2]);
        for (size_t n = 0; n < corpus.size(); ++n)
            std::ofstream(std::string(argv[2]) + "/seed" + std::to_string(n), std::ios::binary)
                .write(reinterpret_cast<const char*>(corpus[n].data()),
                       static_cast<std::streamsize>(corpus[n].size()));
        return 0;
    }
    if (mode == "-run") {
        for (int n = 2; n < argc; ++n) run(read(argv[n]));
        return 0;
    }
    const u64 iterations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
    Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
    for (const Bytes& seed : corpus) run(seed);
    for (u64 n = 0; n < iterations; ++n) run(make_input(corpus, random));
    std::printf("%llu inputs\n", static_cast<unsigned long long>(iterations + corpus.size()));
    return 0;
}

#endif
