// System calls that the kernel refuses this process from now on, as a sandbox, a limit or another file system
// would: by a seccomp filter. Each function returns false where seccomp itself is refused. For children of tests.
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace shoal_test {

namespace refused_calls {

inline bool install(std::vector<sock_filter> filter) {
    sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace refused_calls

// The call fails with that errno.
inline bool refuse_call(long call, unsigned error) {
    return refused_calls::install({
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    });
}

// The call fails with that errno where its argument (from 0) has one of those bits, of the low 32.
inline bool refuse_call_with(long call, unsigned argument, unsigned bits, unsigned error) {
    const auto low_half = static_cast<unsigned>(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
    return refused_calls::install({
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    });
}

// No thread can be made, as at RLIMIT_NPROC or at the pids.max of a container; a process can.
inline bool refuse_new_threads() {
    // A filter cannot see the flags of clone3: without it the C library uses clone, whose flags it sees.
    return refuse_call(SYS_clone3, ENOSYS) && refuse_call_with(SYS_clone, 0, CLONE_THREAD, EAGAIN);
}

// No file can be without a name, as on NFS.
inline bool refuse_nameless_files() {
    return refuse_call_with(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
}

}  // namespace shoal_test
