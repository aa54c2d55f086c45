#include "frontends/trace/output_file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include "test_support.h"

using namespace rm::frontends::trace;
using trace_test::TempFile;

TEST_CASE("lines are buffered and flushed whole") {
    TempFile file("old content that must go");
    auto out = OutputFile::open(file.path());
    REQUIRE(out.has_value());
    (*out)->line("one");
    (*out)->line("two");
    CHECK(file.content() == "");
    (*out)->flush();
    CHECK(file.content() == "one\ntwo\n");
    const std::string kilobyte(1023, 'x');
    for (int n = 0; n < 100; ++n) (*out)->line(kilobyte);
    const std::string seen = file.content();
    CHECK(seen.size() > 60000);
    CHECK(seen.back() == '\n');
    CHECK((*out)->close().has_value());
    CHECK(file.content().size() == 8 + 100 * 1024);
    (*out)->line("after close");
    CHECK((*out)->close().has_value());
    CHECK(file.content().size() == 8 + 100 * 1024);
}

TEST_CASE("a full disk is an error, not a crash") {
    auto out = OutputFile::open("/dev/full");
    REQUIRE(out.has_value());
    (*out)->line("text");
    CHECK_FALSE((*out)->failed());
    (*out)->flush();
    CHECK((*out)->failed());
    (*out)->line("more");
    const auto status = (*out)->close();
    REQUIRE_FALSE(status.has_value());
    CHECK(status.error().message ==
          "trace file '/dev/full': No space left on device (0 bytes written)");
}

TEST_CASE("a disk that fills up in the middle of a line leaves whole lines") {
    TempFile file;
    auto out = OutputFile::open(file.path());
    REQUIRE(out.has_value());
    struct rlimit old, small;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small = old;
    small.rlim_cur = 25;
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    for (int n = 0; n < 9; ++n) (*out)->line("123456789");
    const auto status = (*out)->close();
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    REQUIRE_FALSE(status.has_value());
    CHECK(status.error().message.find("File too large (20 bytes written)") != std::string::npos);
    CHECK(file.content() == "123456789\n123456789\n");
}

TEST_CASE("a path that cannot be opened") {
    const auto out = OutputFile::open("/nonexistent/dir/trace");
    REQUIRE_FALSE(out.has_value());
    CHECK(out.error().message == "trace file '/nonexistent/dir/trace': No such file or directory");
}
