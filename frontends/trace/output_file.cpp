// Buffered line output for traces. See output_file.h. Assumes: nobody else writes to the file.
#include "frontends/trace/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace rm::frontends::trace {

Result<std::shared_ptr<OutputFile>> OutputFile::open(const std::string& path) {
    int fd = STDERR_FILENO;
    if (!path.empty()) {
        fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0) return fail("trace file '%s': %s", path.c_str(), std::strerror(errno));
    }
    return std::shared_ptr<OutputFile>(new OutputFile(path, fd));
}

OutputFile::~OutputFile() { (void)close(); }

void OutputFile::line(std::string_view text) {
    if (error_ || fd_ < 0) return;
    buffer_.append(text);
    buffer_.push_back('\n');
    if (buffer_.size() >= kBufferBytes || path_.empty()) flush();
}

void OutputFile::flush() {
    std::string_view rest = buffer_;
    while (!rest.empty() && !error_) {
        const ssize_t n = ::write(fd_, rest.data(), rest.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            error_ = errno;
            cut_partial_line(std::string_view(buffer_).substr(0, buffer_.size() - rest.size()));
        } else {
            rest.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    if (!error_) written_ += buffer_.size();
    buffer_.clear();
}

void OutputFile::cut_partial_line(std::string_view written) {
    const std::size_t last = written.rfind('\n');
    written_ += last == std::string_view::npos ? 0 : last + 1;
    // Fails on pipes and devices, where nothing can be taken back.
    if (!path_.empty() && ::ftruncate(fd_, static_cast<off_t>(written_)) != 0) return;
}

Result<void> OutputFile::status() const {
    if (!error_) return {};
    return fail("trace file '%s': %s (%llu bytes written)",
                path_.empty() ? "stderr" : path_.c_str(), std::strerror(error_),
                static_cast<unsigned long long>(written_));
}

Result<void> OutputFile::close() {
    if (fd_ >= 0) {
        flush();
        // Network file systems report a full disk only here.
        if (!path_.empty() && ::close(fd_) != 0 && !error_ && errno != EINTR) error_ = errno;
        fd_ = -1;
    }
    return status();
}

}  // namespace rm::frontends::trace
