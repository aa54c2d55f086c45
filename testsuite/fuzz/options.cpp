// The command line, one word a line.
#include "frontends/cli/options.h"

#include <string>

#include "base/assert.h"
#include "fuzz.h"

using namespace rm;

std::vector<fuzz::Bytes> fuzz::seeds() {
    std::vector<Bytes> out;
    for (const std::string text :
         {"-cpu\nmax,+svm\n-m\n2G\n-smp\ncpus=2,cores=2,maxcpus=8",
          "-machine\npc,accel=interp\n-rtc\nbase=2024-01-01T00:00:00",
          "-drive\nfile=a,,b,format=raw,if=ide,index=1,readonly=on\n-boot\norder=dc,menu=on",
          "-kernel\nx\n-initrd\na b,,c,d\n-append\ny",
          "-trace\nvmexit,file=f,format=jsonl\n-symbols\nL1=x,L2=y\n-singlestep\nL2",
          "-device\nisa-debug-exit,iobase=0xf4,iosize=4\n-serial\nnull",
          "-icount\nshift=3\n-rtc\nbase=1700000000\n--no-reboot\n-d\nhash,int"})
        out.emplace_back(text.begin(), text.end());
    for (const std::string& name : frontends::option_names()) {
        const std::string text = "-" + name + "\n1,2=3,,4";
        out.emplace_back(text.begin(), text.end());
    }
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
    std::vector<std::string> words{"ringminus", ""};
    for (size_t n = 0; n < size; ++n) {
        if (data[n] == '\n')
            words.emplace_back();
        else if (data[n] != 0)
            words.back() += static_cast<char>(data[n]);
    }
    std::vector<const char*> argv;
    for (const auto& w : words) argv.push_back(w.c_str());
    const auto options = frontends::parse_options(static_cast<int>(argv.size()), argv.data());
    if (!options) RM_ASSERT(!options.error().message.empty(), "an error says something");
    return 0;
}
