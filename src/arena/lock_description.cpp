#include "arena/lock_description.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>

#include "arena/crash_point.hpp"
#include "arena/file_identity.hpp"
#include "arena/presence.hpp"

namespace shoal {
namespace {

constexpr std::size_t kKeeperBytes = 1;  // of the file, mapped without access: a page of addresses
constexpr int kOpenFlags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// "/proc/PROCESS/fd/NUMBER", without a call that a child of fork may not make.
class DescriptorPath {
public:
    DescriptorPath(pid_t process, int number) noexcept {  // 0: this process
        add("/proc/");
        if (process == 0) {
            add("self");
        } else {
            add(process);
        }
        add("/fd/");
        add(number);
    }
    [[nodiscard]] const char* text() const noexcept { return text_; }

private:
    void add(std::string_view word) noexcept {
        std::memcpy(end_, word.data(), word.size());
        end_ += word.size();
    }
    void add(int number) noexcept { end_ = std::to_chars(end_, text_ + sizeof text_ - 1, number).ptr; }

    char text_[64] = {};
    char* end_ = text_;
};

int close_or_keep_errno(int descriptor, int cause) noexcept {
    ::close(descriptor);
    return -cause;
}

// The file once more by that path, or the errno, negative.
int open_file(const char* path, int flags, const FileIdentity& file) noexcept {
    const int fresh = ::open(path, kOpenFlags | flags);
    if (fresh < 0) return -errno;
    return file.is_of(fresh) ? fresh : close_or_keep_errno(fresh, ESTALE);
}

}  // namespace

struct LockDescription::Node {
    Node(int descriptor, std::string&& found_at, bool is_shared) noexcept
        : number(descriptor), file(descriptor), path(std::move(found_at)), shared(is_shared) {
        const int flags = ::fcntl(descriptor, F_GETFL);
        if (flags >= 0) access = flags & O_ACCMODE;
    }

    // A number that the program closed and that a later description has got is no longer this one's. relaxed,
    // always: written by the thread that got the number, which has it in turn from the one that closed it.
    std::atomic<int> number;
    FileIdentity file;
    std::string path;  // where there is no /proc; may be empty
    bool shared;       // the arena's mapping is of this description
    int access = O_RDWR;
    void* keeper = nullptr;
    bool inherited = false;
    std::uint64_t inherited_byte = 0;  // that a child shares
    bool was_named = false;            // at the last fork
    int for_child = -1;                // between a fork's handlers
    int refusal = 0;
    bool listed = false;
    Node* before = nullptr;
    Node* after = nullptr;

    [[nodiscard]] int current_number() const noexcept {
        const int now = number.load(std::memory_order_relaxed);
        return file.is_of(now) ? now : -1;
    }

    // Another description of the file, or an errno, negative. `process`: whose number it is, 0: ours.
    [[nodiscard]] int open_anew(pid_t process, int its_number) const noexcept {
        int fresh = -EBADF;
        if (its_number >= 0) {
            const DescriptorPath by_number(process, its_number);
            struct stat info {};
            // /proc may be of other processes than we think: their files are not to be opened.
            const bool is_it = process == 0 || (::stat(by_number.text(), &info) == 0 && file.is_of(info));
            fresh = is_it ? open_file(by_number.text(), access, file) : -ENOENT;
        }
        if (fresh >= 0 || fresh == -EMFILE || fresh == -ENFILE || path.empty()) return fresh;
        const int by_path = open_file(path.c_str(), access | O_NOFOLLOW, file);
        return by_path >= 0 ? by_path : fresh;
    }

    [[nodiscard]] int keep() noexcept {
        void* page =
            ::mmap(nullptr, kKeeperBytes, PROT_NONE, MAP_SHARED, number.load(std::memory_order_relaxed), 0);
        if (page == MAP_FAILED) return errno;
        if (::madvise(page, kKeeperBytes, MADV_DONTFORK) != 0) {
            const int cause = errno;
            ::munmap(page, kKeeperBytes);
            return cause;
        }
        keeper = page;
        return 0;
    }
};

// All of this process's. Never destroyed: threads may outlive statics.
class LockDescriptions {
public:
    using Node = LockDescription::Node;

    // Before SlotsRegistry's handlers, since a Slots needs an arena and that one a description: so that fork locks
    // the registry of slots, then the slots, and then this, which is locked under both.
    static LockDescriptions& instance() {
        static LockDescriptions* const descriptions = new LockDescriptions;
        return *descriptions;
    }

    // `open` gives a descriptor or an errno, negative; called while no fork is under way (I1).
    template <class Open>
    [[nodiscard]] Node* add(std::string&& path, bool shared, int* cause, Open&& open) noexcept {
        const std::lock_guard lock(mutex_);
        const int fresh = open();
        *cause = fresh < 0 ? -fresh : 0;
        if (fresh < 0) return nullptr;
        Node* node = new (std::nothrow) Node(fresh, std::move(path), shared);
        if (node == nullptr) {
            ::close(fresh);
            *cause = ENOMEM;
            return nullptr;
        }
        forget_number(fresh);
        node->listed = true;
        node->after = first_;
        if (first_ != nullptr) first_->before = node;
        first_ = node;
        return node;
    }

    void remove(Node* node) noexcept {
        {
            const std::lock_guard lock(mutex_);
            const int number = node->current_number();
            if (number >= 0) unlock_all(number);
            // Without a number the last reference: the locks end with it.
            if (node->keeper != nullptr) ::munmap(node->keeper, kKeeperBytes);
            if (number >= 0) ::close(number);
            if (node->listed) unlist(node);
        }
        delete node;
    }

    std::mutex mutex_;

private:
    LockDescriptions() { ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child); }

    // The kernel has given the number out anew: the program must have closed it.
    void forget_number(int number) noexcept {
        for (Node* each = first_; each != nullptr; each = each->after) {
            if (each->number.load(std::memory_order_relaxed) != number) continue;
            each->number.store(-1, std::memory_order_relaxed);
        }
    }

    void unlist(Node* node) noexcept {
        if (node->before != nullptr) node->before->after = node->after;
        if (node->after != nullptr) node->after->before = node->before;
        if (first_ == node) first_ = node->after;
    }

    // Here failure can still be handled: what the child needs is opened, and says that the child is there.
    static void before_fork() noexcept {
        LockDescriptions& all = instance();
        all.mutex_.lock();
        for (Node* node = all.first_; node != nullptr; node = node->after) {
            node->for_child = -ENOENT;
            if (!node->inherited || node->shared || node->refusal != 0) continue;
            struct stat info {};
            const int number = node->number.load(std::memory_order_relaxed);
            const bool is_ours = number >= 0 && ::fstat(number, &info) == 0 && node->file.is_of(info);
            node->was_named = is_ours && info.st_nlink != 0;
            node->for_child = node->open_anew(0, is_ours ? number : -1);
            // Beside the parent's, so that there is no moment without either: refused to a child of one that
            // repairs.
            if (node->for_child < 0) continue;
            all.forget_number(node->for_child);
            const int refused = try_share_byte(node->for_child, node->inherited_byte);
            if (refused != 0) node->for_child = close_or_keep_errno(node->for_child, refused);
        }
        crash_point(CrashPoint::kForkPrepared);
    }

    static void after_fork_in_parent() noexcept {
        LockDescriptions& all = instance();
        for (Node* node = all.first_; node != nullptr; node = node->after) {
            const int childs = std::exchange(node->for_child, -1);
            if (node->file.is_of(childs)) ::close(childs);
        }
        all.mutex_.unlock();
    }

    static void after_fork_in_child() noexcept {
        crash_point(CrashPoint::kForkedChild);
        LockDescriptions& all = instance();
        Node* left = nullptr;
        for (Node* node = all.first_; node != nullptr;) {
            Node* next = node->after;
            take_over(*node);
            // A thread that is not here may have had it, on a stack that is used anew.
            node->listed = node->inherited;
            if (node->inherited) {
                node->before = nullptr;
                node->after = std::exchange(left, node);
                if (node->after != nullptr) node->after->before = node;
            }
            node = next;
        }
        all.first_ = left;
        all.mutex_.unlock();
    }

    static void take_over(Node& node) noexcept {
        const int parents = node.current_number();
        if (parents >= 0) ::close(parents);
        const bool was_kept = std::exchange(node.keeper, nullptr) != nullptr;  // not inherited
        node.number.store(-1, std::memory_order_relaxed);
        if (!node.inherited || node.refusal != 0) {
            if (node.refusal == 0) node.refusal = EBADF;
            return;
        }
        int own = std::exchange(node.for_child, -1);
        // There was no number free for it; now that of the parent's is.
        if (own < 0 && !node.shared) own = open_in_child(node, parents, -own);
        node.number.store(own, std::memory_order_relaxed);
        node.refusal = own < 0 ? -own : was_kept ? node.keep() : 0;
        if (own < 0 || node.refusal == 0) return;
        node.number.store(-1, std::memory_order_relaxed);
        ::close(own);
    }

    // As before_fork, later: the parent may be gone since, and the store with it. Else `refused`, negative.
    static int open_in_child(const Node& node, int parents, int refused) noexcept {
        const int own = node.open_anew(::getppid(), parents);
        if (own < 0) return -refused;
        struct stat info {};
        const int cause = try_share_byte(own, node.inherited_byte);
        if (cause != 0) return close_or_keep_errno(own, cause);
        if (node.was_named && (::fstat(own, &info) != 0 || info.st_nlink == 0))
            return close_or_keep_errno(own, ENOENT);
        return own;
    }

    Node* first_ = nullptr;  // guarded by mutex_
};

LockDescription::~LockDescription() {
    if (node_ != nullptr) LockDescriptions::instance().remove(node_);
}

LockDescription LockDescription::of(int descriptor, const std::string& path, int* cause) {
    const Node by(descriptor, std::string(path), false);
    return LockDescription(LockDescriptions::instance().add(std::string(path), false, cause,
                                                            [&] { return by.open_anew(0, descriptor); }));
}

LockDescription LockDescription::at(int directory, const std::string& name, int* cause) {
    return LockDescription(LockDescriptions::instance().add({}, false, cause, [&] {
        const int fresh = ::openat(directory, name.c_str(), kOpenFlags | O_RDWR | O_NOFOLLOW);
        return fresh < 0 ? -errno : fresh;
    }));
}

LockDescription LockDescription::to_share(int directory, const std::string& name, int* cause) {
    return LockDescription(LockDescriptions::instance().add({}, false, cause, [&] {
        const int fresh = ::openat(directory, name.c_str(), kOpenFlags | O_RDONLY | O_NOFOLLOW);
        return fresh < 0 ? -errno : fresh;
    }));
}

LockDescription LockDescription::another(int* cause) const {
    if (node_ == nullptr || node_->refusal != 0) {
        *cause = node_ == nullptr ? EBADF : node_->refusal;
        return {};
    }
    return LockDescription(LockDescriptions::instance().add(
        std::string(node_->path), false, cause, [this] { return node_->open_anew(0, node_->current_number()); }));
}

LockDescription LockDescription::shared(int descriptor, int* cause) {
    return LockDescription(LockDescriptions::instance().add({}, true, cause, [descriptor] {
        const int copy = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
        return copy < 0 ? -errno : copy;
    }));
}

void LockDescription::set_path(std::string path) noexcept {
    const std::lock_guard lock(LockDescriptions::instance().mutex_);
    node_->path = std::move(path);
}

int LockDescription::number() const noexcept { return node_ == nullptr ? -1 : node_->current_number(); }

int LockDescription::refusal() const noexcept { return node_ == nullptr ? 0 : node_->refusal; }

int LockDescription::keep() noexcept { return node_->keep(); }

void LockDescription::inherit(std::uint64_t shared_byte) noexcept {
    const std::lock_guard lock(LockDescriptions::instance().mutex_);
    node_->inherited_byte = shared_byte;
    node_->inherited = true;
}

}  // namespace shoal
