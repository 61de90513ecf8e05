#include "hazards.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

namespace storm {
namespace {

// `io_uring` and `membarrier`: numbers of system calls to refuse; -1 refuses nothing, as no call has that number.
bool refuse(std::uint32_t io_uring, std::uint32_t membarrier) {
    std::array<sock_filter, 5> filter{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, io_uring, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    sock_fprog program{filter.size(), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

void refuse_calls(const Ledger& ledger, Chance& chance) {
    const Refusal refusal = ledger.header().refusal;
    if (refusal == Refusal::kNone) return;
    const std::uint32_t which = refusal == Refusal::kAll ? 3 : chance.below(4);
    if (which == 0) return;
    const std::uint32_t nothing = ~0U;
    if (!refuse((which & 1) != 0 ? SYS_io_uring_setup : nothing, (which & 2) != 0 ? SYS_membarrier : nothing))
        ledger.fail("seccomp is refused: " + std::string(std::strerror(errno)));
}

void limit_descriptors(const Ledger& ledger, Chance& chance) {
    const std::int32_t spare = ledger.header().spare_descriptors;
    if (spare < 0) return;
    const int next = ::fcntl(ledger.descriptor(), F_DUPFD_CLOEXEC, 0);  // the lowest number that is free
    if (next < 0) return;  // it is limited already: a child of a limited process
    ::close(next);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = static_cast<rlim_t>(next) + chance.below(static_cast<std::uint64_t>(spare) + 1);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
        ledger.fail("setrlimit is refused: " + std::string(std::strerror(errno)));
}

bool lower_priority(const Ledger& ledger, Chance& chance) {
    if (ledger.header().roomy == 0 || !chance.one_in(3)) return false;
    if (::setpriority(PRIO_PROCESS, 0, 15) != 0)
        ledger.fail("setpriority is refused: " + std::string(std::strerror(errno)));
    return true;
}

bool is_nearly_empty(const shoal::Stats& stats) {
    constexpr std::uint64_t kFrameBytes = 16, kKeyBytes = 300;  // about: headers and padding of each
    constexpr std::uint64_t kSlotBytes = 10 * (64 << 10);       // a page of each size class
    const std::uint64_t records = stats.payload_bytes + kFrameBytes * stats.records;
    // A key's last segment has room for up to three times as much as those before it.
    const std::uint64_t most =
        4 * records + kKeyBytes * stats.keys + stats.index_bytes + kSlotBytes * stats.slots_in_use;
    return records <= stats.memory_limit_bytes / 8 && most <= stats.memory_limit_bytes / 4 * 3;
}

bool lacks_descriptors(const Ledger& ledger, const shoal::Error& error) {
    return ledger.header().spare_descriptors >= 0 && error.system_errno == EMFILE;
}

}  // namespace storm
