// What a process cannot get any more: files to open, or an end of its locks. By filters on its system calls.
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace shoal_test {

// For this process from now on, and its children. False where seccomp itself is refused.
template <std::size_t steps>
bool install(std::array<sock_filter, steps> filter) {
    sock_fprog program{filter.size(), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// No file can be opened, as where privileges were dropped, and where there is no /proc.
inline bool refuse_opening(unsigned cause) {
    return install(std::array<sock_filter, 4>{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | cause),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }});
}

// No lock of an open file description begins or ends.
inline bool refuse_locks(unsigned cause) {
    constexpr unsigned kCommand = offsetof(seccomp_data, args) + sizeof(std::uint64_t);  // the low half
    return install(std::array<sock_filter, 6>{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kCommand),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | cause),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }});
}

// From now on no number is free for another descriptor.
inline bool use_up_descriptors() {
    const rlimit limit{64, 64};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    while (::dup(STDERR_FILENO) >= 0) {
    }
    return errno == EMFILE;
}

}  // namespace shoal_test
