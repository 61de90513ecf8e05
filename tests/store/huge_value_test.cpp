// One record of 1 GiB.
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::ByteView;
using shoal::Store;
using namespace shoal_test;

namespace {

std::uint64_t available_memory_bytes() {
    std::ifstream meminfo("/proc/meminfo");
    std::string word;
    while (meminfo >> word) {
        std::uint64_t kib = 0;
        if (word == "MemAvailable:" && meminfo >> kib) return kib * 1024;
    }
    return 0;
}

}  // namespace

TEST_CASE("A record of 1 GiB comes back exactly") {
    constexpr std::size_t kGiB = std::size_t{1} << 30;
    if (kSanitizer) SHOAL_SKIP("a record of 1 GiB takes too long under a sanitizer");
    if (available_memory_bytes() < 3 * kGiB) SHOAL_SKIP("a record of 1 GiB needs 3 GiB of free memory");
    auto store = Store::in_memory(with_limit(kGiB + kGiB / 2));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "before"));
    {
        const std::unique_ptr<char[]> record(new char[kGiB + 1]);
        fill_pattern(record.get(), kGiB + 1, 7);
        REQUIRE_OK(store->append("k", ByteView(record.get(), kGiB + 1)));
        REQUIRE_OK(store->append("k", "after"));
        const auto records = store->records("k");
        REQUIRE_OK(records);
        REQUIRE(records->size() == 3);
        REQUIRE((*records)[1].size() == kGiB + 1);
        REQUIRE(std::memcmp((*records)[1].data(), record.get(), kGiB + 1) == 0);

        const auto second = store->append("second", ByteView(record.get(), kGiB));
        REQUIRE_CODE(second, shoal::Code::kMemoryLimit);
    }
    CHECK(store->size("k")->bytes == kGiB + 12);
    const auto value = store->get("k");
    REQUIRE_OK(value);
    REQUIRE(value->size() == kGiB + 12);
    CHECK(value->text().substr(0, 6) == "before");
    CHECK(value->text().substr(kGiB + 7) == "after");
    const auto view = store->view("k");
    REQUIRE_OK(view);
    std::size_t at = 0;
    for (const ByteView span : view->spans()) {
        REQUIRE(std::memcmp(value->data() + at, span.data(), span.size()) == 0);
        at += span.size();
    }
    CHECK(at == value->size());
}
