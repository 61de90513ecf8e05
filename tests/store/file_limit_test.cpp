// A process that may only make small files (ulimit -f): a typed error that says so, where the kernel would raise
// SIGXFSZ and end it.
#include <sys/resource.h>

#include <cerrno>
#include <string>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

std::string limit_files_to(std::uint64_t bytes) {
    const rlimit limit{bytes, bytes};
    EXPECT(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    return {};
}

}  // namespace

TEST_CASE("A store larger than the process may make a file is not made, and the error says so", "[process]") {
    for (const std::uint64_t bytes : {std::uint64_t{0}, 8 * kMiB}) {
        TemporaryStore place;
        CHECK(Child::run([&]() -> std::string {
                  if (std::string wrong = limit_files_to(bytes); !wrong.empty()) return wrong;
                  for (const bool in_memory : {false, true}) {
                      const auto opened = in_memory ? Store::in_memory(with_limit(16 * kMiB))
                                                    : Store::open(place.path(), with_limit(16 * kMiB));
                      EXPECT_CODE(opened, Code::kNoSpace);
                      EXPECT(opened.error().system_errno == EFBIG);
                      EXPECT(opened.error().message.find("ulimit -f") != std::string::npos);
                  }
                  return {};
              }) == "");
        CHECK(place.directory().entries().empty());
    }
}

TEST_CASE("A process that may only make small files uses what is real, and gets an error for more", "[process]") {
    TemporaryStore place;
    auto store = Store::open(place.path(), with_limit(64 * kMiB));
    REQUIRE_OK(store);
    REQUIRE_OK(store->append("k", "parent,"));
    CHECK(Child::run([&]() -> std::string {
              if (std::string wrong = limit_files_to(kMiB); !wrong.empty()) return wrong;
              auto own = Store::attach(place.path());
              EXPECT_OK(own);
              EXPECT(own->get("k")->text() == "parent,");
              EXPECT_OK(own->append("k", "child,"));
              const auto large = own->append("large", std::string(3'000'000, 'x'));
              EXPECT_CODE(large, Code::kNoSpace);
              EXPECT(large.error().message.find("ulimit -f") != std::string::npos);
              EXPECT_CODE(own->get("large"), Code::kNotFound);
              return {};
          }) == "");
    CHECK(store->get("k")->text() == "parent,child,");
    REQUIRE_OK(store->append("large", std::string(3'000'000, 'x')));
}
