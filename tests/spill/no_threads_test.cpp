// A process that can make no thread, at a limit of processes or in a container: no call throws, none changes the
// caller's signal mask, and the store does by itself what its thread would have done.
#include <signal.h>

#include <string>

#include <shoal/store.hpp>

#include "../refused_calls.hpp"
#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

constexpr int kSignals = 64;

// The signals that this thread blocks, a character each.
std::string signal_mask() {
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    std::string text;
    for (int number = 1; number <= kSignals; ++number) text += ::sigismember(&blocked, number) == 1 ? '1' : '0';
    return text;
}

}  // namespace

TEST_CASE("Where no thread is to be had a store opens, spills and reads, and no signal mask changes", "[process]") {
    SpillingPlace place;
    REQUIRE(Child::run([&]() -> std::string {
                sigset_t some;
                ::sigemptyset(&some);
                ::sigaddset(&some, SIGUSR1);
                ::pthread_sigmask(SIG_BLOCK, &some, nullptr);
                const std::string before = signal_mask();
                EXPECT(refuse_new_threads());
                auto store = Store::open(place.path(), place.options(8 * kMiB));
                EXPECT_OK(store);
                EXPECT(signal_mask() == before);
                // Four times what memory holds, so that appends wait for room and have to make it.
                constexpr unsigned kRecords = 512;
                for (unsigned i = 0; i < kRecords; ++i)
                    EXPECT_OK(store->append(std::to_string(i % 8), pattern(64'000, i)));
                EXPECT(signal_mask() == before);
                for (unsigned key = 0; key < 8; ++key) {
                    std::string value;
                    for (unsigned i = key; i < kRecords; i += 8) value += pattern(64'000, i);
                    const auto read = store->get(std::to_string(key));
                    EXPECT_OK(read);
                    EXPECT(read->text() == value);
                }
                EXPECT_OK(store->sync());
                EXPECT(signal_mask() == before);
                return {};
            }) == "");
}
