// A file that a trace writes lines to: buffered, and honest about what the disk did.
// Owns: the descriptor and the buffer. Only whole lines are handed to the kernel, and after a short
// write to a regular file the file is cut back to its last whole line, so a killed run and a full
// disk both leave a readable trace.
// A failed write never stops the machine by itself: lines are dropped from then on, and the
// frontend that polls failed() ends the run with status()'s one-line error.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"

namespace rm::frontends::trace {

class OutputFile {
public:
    // Creates or truncates `path`; an empty path is stderr, written line by line.
    static Result<std::shared_ptr<OutputFile>> open(const std::string& path);
    ~OutputFile();  // flushes; errors at that point are lost, so call close() first
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    // Appends text and a line end. Text may hold several lines.
    void line(std::string_view text);
    void flush();
    bool failed() const { return error_ != 0; }
    // The first write error: "trace file 'F': No space left on device (N bytes written)".
    Result<void> status() const;
    // Flushes, closes (stderr stays open) and returns status(). Later lines are dropped.
    Result<void> close();

private:
    static constexpr std::size_t kBufferBytes = 64 * 1024;

    OutputFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
    void cut_partial_line(std::string_view written);

    std::string path_;
    std::string buffer_;
    int fd_ = -1;
    int error_ = 0;    // errno of the first failure
    u64 written_ = 0;  // bytes of whole lines in the file
};

}  // namespace rm::frontends::trace
