// A file a key, opened with O_APPEND: the kernel's lock of the file makes an append whole, whoever else writes.
//
// As many files as the limit of open files allows stay open; of a key beyond them each append opens and closes its
// own. A batch is sorted by key, so that a file gets its records by one writev.
#include <limits.h>
#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "run.hpp"

namespace {

using compare::Buffer;
using compare::fail_by_errno;
using compare::Pair;
using compare::Task;

class Files {
public:
    static constexpr bool kOneProcess = false;

    explicit Files(const Task& task) : folder_(task.folder) {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        open_at_most_ = static_cast<std::size_t>(limit.rlim_cur) - 64;
    }
    [[nodiscard]] std::string version() const { return "the kernel's"; }
    [[nodiscard]] compare::Settings settings() const {
        return {{"files kept open a process", std::to_string(open_at_most_)},
                {"batched", "sorted by key, one writev a key"}};
    }

    class Hand {
    public:
        Hand(const Files& peer, const Task& task, unsigned)
            : folder_(peer.folder_), descriptors_(task.keys, -1), open_at_most_(peer.open_at_most_) {}
        Hand(const Hand&) = delete;
        Hand& operator=(const Hand&) = delete;
        ~Hand() { close_all(); }

        void append(const Pair& pair) {
            const File file(*this, pair);
            const ssize_t written = ::write(file.descriptor, pair.record.data(), pair.record.size());
            if (written != static_cast<ssize_t>(pair.record.size())) fail_by_errno("write");
        }
        void append(std::span<const Pair> batch) {
            sorted_.assign(batch.begin(), batch.end());
            std::stable_sort(sorted_.begin(), sorted_.end(),
                             [](const Pair& a, const Pair& b) { return a.number < b.number; });
            for (std::size_t at = 0; at < sorted_.size();) {
                const Pair& first = sorted_[at];
                pieces_.clear();
                std::size_t bytes = 0;
                for (; at < sorted_.size() && sorted_[at].number == first.number && pieces_.size() < IOV_MAX;
                     ++at) {
                    pieces_.push_back({const_cast<char*>(sorted_[at].record.data()), sorted_[at].record.size()});
                    bytes += sorted_[at].record.size();
                }
                const File file(*this, first);
                if (::writev(file.descriptor, pieces_.data(), static_cast<int>(pieces_.size())) !=
                    static_cast<ssize_t>(bytes)) {
                    fail_by_errno("writev");
                }
            }
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            const int file = ::open(path(key).c_str(), O_RDONLY | O_CLOEXEC);
            struct stat status {};
            if (file < 0 || ::fstat(file, &status) != 0) fail_by_errno("open");
            const auto bytes = static_cast<std::size_t>(status.st_size);
            std::byte* room = buffer.room(bytes);
            for (std::size_t done = 0; done < bytes;) {
                const ssize_t got = ::read(file, room + done, bytes - done);
                if (got <= 0) fail_by_errno("read");
                done += static_cast<std::size_t>(got);
            }
            ::close(file);
            return bytes;
        }
        // Cut off, not removed: writers that keep them open go on with them.
        void empty() {
            for (const auto& file : std::filesystem::directory_iterator(folder_)) {
                if (::truncate(file.path().c_str(), 0) != 0) fail_by_errno("truncate");
            }
        }

    private:
        struct File {
            File(Hand& owner, const Pair& pair) : hand(owner), descriptor(owner.descriptors_[pair.number]) {
                if (descriptor >= 0) return;
                descriptor = ::open(owner.path(pair.key).c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
                if (descriptor < 0) fail_by_errno("open");
                kept = owner.open_ < owner.open_at_most_;
                if (!kept) return;
                owner.descriptors_[pair.number] = descriptor;
                ++owner.open_;
            }
            File(const File&) = delete;
            File& operator=(const File&) = delete;
            ~File() {
                if (!kept) ::close(descriptor);
            }
            Hand& hand;
            int descriptor;
            bool kept = true;
        };
        std::string path(std::string_view key) const { return folder_ + "/" + std::string(key); }
        void close_all() {
            for (const int descriptor : descriptors_) {
                if (descriptor >= 0) ::close(descriptor);
            }
        }

        std::string folder_;
        std::vector<int> descriptors_;
        std::size_t open_at_most_;
        std::size_t open_ = 0;
        std::vector<Pair> sorted_;
        std::vector<iovec> pieces_;
    };

private:
    std::string folder_;
    std::size_t open_at_most_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Files>(argc, argv); }
