// Disk images, overlays, the character backend factory and the terminal multiplexer.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "platform/backends/block_device.h"
#include "platform/backends/char_backend.h"

using namespace rm;
using namespace rm::platform;

namespace {

struct TempDir {
    TempDir() {
        char name[] = "/tmp/rm-backends-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~TempDir() {
        const std::string command = "rm -r '" + path + "'";
        (void)!std::system(command.c_str());
    }
    std::string file(const char* name, const std::string& content) const {
        std::ofstream(path + "/" + name, std::ios::binary) << content;
        return path + "/" + name;
    }
    std::string path;
};

bool mentions(const Error& e, const std::string& text) {
    return e.message.find(text) != std::string::npos;
}

struct FakeTerminal final : CharBackend {
    void write(u8 byte) override { text += static_cast<char>(byte); }
    void flush() override {}
    void poll() override {}
    void type(const std::string& s) {
        for (char c : s) deliver(static_cast<u8>(c));
    }
    std::string text;
};

struct Sink {
    explicit Sink(CharBackend& b) {
        b.set_receiver({.room = [] { return size_t{100}; },
                        .take = [this](u8 c) { got += static_cast<char>(c); }});
    }
    std::string got;
};

}  // namespace

TEST_CASE("raw image: reads, writes, tail, errors") {
    TempDir dir;
    const std::string path = dir.file("disk", std::string(1000, 'a'));
    {
        auto image = open_raw_image(path, {});
        REQUIRE(image);
        CHECK((*image)->size() == 1024);
        std::array<u8, 512> sector;
        REQUIRE((*image)->read(512, sector));
        CHECK(sector[487] == 'a');
        CHECK(sector[488] == 0);
        sector.fill('b');
        REQUIRE((*image)->write(512, sector));
        REQUIRE((*image)->flush());
        CHECK(!(*image)->read(1024, sector));
        CHECK(!(*image)->write(513, sector));
        CHECK(!(*image)->read(~u64{0}, sector));
    }
    auto again = open_raw_image(path, {.read_only = true});
    REQUIRE(again);
    std::array<u8, 4> bytes;
    REQUIRE((*again)->read(1020, bytes));
    CHECK(bytes[3] == 'b');
    CHECK((*again)->read_only());
    CHECK(!(*again)->write(0, bytes));

    auto missing = open_raw_image(dir.path + "/none", {});
    REQUIRE(!missing);
    CHECK(mentions(missing.error(), "none"));
    auto empty = open_raw_image(dir.file("empty", ""), {});
    REQUIRE(!empty);
    CHECK(mentions(empty.error(), "is empty"));
    auto folder = open_raw_image(dir.path, {.read_only = true});
    CHECK(!folder);
}

TEST_CASE("snapshot: writes stay in memory") {
    TempDir dir;
    const std::string path = dir.file("disk", std::string(200'000, 'a'));
    auto image = open_raw_image(path, {.snapshot = true});
    REQUIRE(image);
    CHECK(!(*image)->read_only());
    std::array<u8, 1024> block;
    block.fill('z');
    REQUIRE((*image)->write(65536 - 512, block));  // two clusters
    block.fill(0);
    REQUIRE((*image)->read(65536 - 512, block));
    CHECK(block[0] == 'z');
    CHECK(block[1023] == 'z');
    REQUIRE((*image)->read(65536 + 512, block));
    CHECK(block[0] == 'a');
    REQUIRE((*image)->read((*image)->size() - 1024, block));
    CHECK(block[1023] == 0);
    block.fill('y');
    REQUIRE((*image)->write((*image)->size() - 1024, block));
    std::ifstream file(path);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    CHECK(content == std::string(200'000, 'a'));
}

TEST_CASE("character backends: file, null, unix socket, bad specs") {
    TempDir dir;
    {
        auto file = make_char_backend("file:" + dir.path + "/log");
        REQUIRE(file);
        for (char c : std::string("one\ntwo")) (*file)->write(static_cast<u8>(c));
    }
    std::ifstream log(dir.path + "/log");
    CHECK(std::string((std::istreambuf_iterator<char>(log)), {}) == "one\ntwo");
    REQUIRE(make_char_backend("null"));

    const std::string path = dir.path + "/sock";
    auto server = make_char_backend("unix:" + path + ",server,nowait");
    REQUIRE(server);
    CHECK(mentions(Error{(*server)->note()}, path));
    Sink sink(**server);
    (*server)->write('x');
    (*server)->poll();
    auto client = make_char_backend("unix:" + path);
    REQUIRE(client);
    Sink reply(**client);
    (*server)->poll();
    for (char c : std::string("hi\n")) (*server)->write(static_cast<u8>(c));
    (*client)->write('!');
    (*client)->flush();
    (*client)->poll();
    (*server)->poll();
    CHECK(reply.got == "hi\n");
    CHECK(sink.got == "!");
    client->reset();  // hangs up; the next one is served
    (*server)->poll();
    client = make_char_backend("unix:" + path);
    REQUIRE(client);
    (*server)->poll();
    (*server)->write('\n');
    Sink second(**client);
    (*client)->poll();
    CHECK(second.got == "\n");

    auto tcp = make_char_backend("tcp:127.0.0.1:0,server=on,wait=off");
    CHECK(tcp);
    auto pty = make_char_backend("pty");
    if (pty) CHECK(mentions(Error{(*pty)->note()}, "/dev/pts/"));
    for (const char* bad : {"serial", "file:", "tcp:nohost", "unix:/x,servr", "tcp:h:1,wiat=on",
                            "stdio,x", "unix:", ""}) {
        auto r = make_char_backend(bad);
        REQUIRE(!r);
        CHECK(!r.error().message.empty());
    }
    CHECK(mentions(make_char_backend("unix:/nowhere/s").error(), "server"));
}

TEST_CASE("multiplexer: escapes and focus") {
    auto owned = std::make_unique<FakeTerminal>();
    FakeTerminal& terminal = *owned;
    CharMux mux(std::move(owned));
    int quits = 0, breaks = 0;
    mux.set_actions({.quit = [&] { ++quits; }, .send_break = [&] { ++breaks; }});
    Sink first(mux);
    auto monitor = mux.add_user();
    Sink second(*monitor);
    terminal.type("ab");
    CHECK(first.got == "ab");
    terminal.type("\x01\x01");
    CHECK(first.got == "ab\x01");
    terminal.type(
        "\x01"
        "cxyz");
    CHECK(second.got == "xyz");
    terminal.type(
        "\x01"
        "c!");
    CHECK(first.got == "ab\x01!");
    terminal.type(
        "\x01"
        "b\x01"
        "x");
    CHECK(breaks == 1);
    CHECK(quits == 1);
    terminal.type("\x01h");
    CHECK(terminal.text.find("Ctrl-A x") != std::string::npos);
    monitor->write('m');
    mux.write('s');
    CHECK(terminal.text.ends_with("ms"));
    monitor.reset();
    terminal.type(
        "\x01"
        "cq");
    CHECK(first.got.ends_with("q"));
}
