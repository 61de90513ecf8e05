// A sandbox that refuses membarrier(2): memory comes back as before, by full fences, or by those who are outside.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

// For this process from now on. False where seccomp itself is refused.
bool refuse_membarrier() {
    std::array<sock_filter, 4> filter{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    sock_fprog program{filter.size(), filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Ten times as much as the store holds.
std::string append_and_erase(Store& store) {
    const std::string value(100'000, 'v');
    for (int round = 0; round < 1600; ++round) {
        EXPECT_OK(store.append("key", value));
        EXPECT_OK(store.erase("key"));
    }
    return {};
}

}  // namespace

TEST_CASE("Memory is used again by a process whose sandbox refuses membarrier", "[process]") {
    TemporaryStore place;
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(refuse_membarrier());
                auto store = Store::open(place.path(), with_limit(16 * kMiB));
                EXPECT_OK(store);
                return append_and_erase(*store);
            }) == "");
}

TEST_CASE("What a sandboxed process erases comes back through one that is not", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(16 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("here", "first"));
    REQUIRE(Child::run([&]() -> std::string {
                EXPECT(refuse_membarrier());
                auto own = Store::attach(place.path());
                EXPECT_OK(own);
                const std::string value(100'000, 'v');
                for (int round = 0; round < 100; ++round) {
                    EXPECT_OK(own->append("there", value));
                    EXPECT_OK(own->erase("there"));
                }
                return {};
            }) == "");
    REQUIRE(append_and_erase(*store) == "");
    CHECK(store->get("here")->text() == "first");
}
