// Arenas that are damaged, or mean harm: offsets lead nowhere but into the arena and the guard behind it, and every
// operation comes to an end. What runs on behind the guard meets a fence, and ends this test by a signal.
#include <fcntl.h>
#include <unistd.h>

#include <xxhash.h>

#include <shoal/store.hpp>

#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"
#include "arena/plan.hpp"
#include "arena_editor.hpp"
#include "catch.hpp"
#include "damages.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

// Whether a byte can be read there, found out by the kernel.
bool is_readable(const std::byte* at) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const bool readable = ::write(ends[1], at, 1) == 1;
    ::close(ends[0]);
    ::close(ends[1]);
    return readable;
}

void use(const std::string& path) {
    auto store = Store::attach(path);
    if (!store) return;
    (void)store->stats();
    (void)store->keys();
    for (const char* key : {"long", "large", "twin", "fork", "key 7", "missing"}) {
        (void)store->get(key);
        (void)store->size(key);
        if (const auto records = store->records(key)) CHECK(records->bytes() <= 16 * kMiB);
        (void)store->append(key, "a record");
        (void)store->append(key, std::string(100'000, 'x'));
        (void)store->iset(key, "a value");
    }
    for (int number = 0; number < 100; ++number) (void)store->append("new " + std::to_string(number), "a record");
    for (const char* key : {"long", "twin", "key 8", "new 9"}) (void)store->erase(key);
    (void)store->drop();
    (void)store->append("after", "the drop");
    (void)store->get("after");
}

}  // namespace

TEST_CASE("Any offset gives an aligned object in the arena or in the guard behind it") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(8 * kMiB)).has_value());
    const ArenaEditor arena(place.path());
    const Mapping& mapping = arena.mapping();
    const std::byte* begin = mapping.at<std::byte>(std::uint64_t{0});
    const std::byte* end = begin + mapping.bytes();
    const std::vector<std::uint64_t> offsets{
        1, 63, 4095, mapping.bytes() - 1, mapping.bytes(), mapping.bytes() + 1, 1ULL << 47, ~0ULL, ~0ULL - 62};
    for (const std::uint64_t offset : offsets) {
        INFO(offset);
        const auto* segment = reinterpret_cast<const std::byte*>(mapping.at<Segment>(offset));
        CHECK(segment >= begin);
        CHECK(segment <= end);
        CHECK((segment - begin) % 64 == 0);
        CHECK((segment == end || static_cast<std::uint64_t>(segment - begin) == (offset & ~63ULL)));
        CHECK(reinterpret_cast<const std::byte*>(mapping.at<Chain>(offset)) <= end);
    }
    CHECK(is_readable(end));
    CHECK(is_readable(end + kGuardBytes - 1));
    CHECK_FALSE(is_readable(end + kGuardBytes));
    CHECK(mapping.holds(0, mapping.bytes()));
    CHECK(mapping.holds(mapping.bytes(), 0));
    CHECK_FALSE(mapping.holds(1, mapping.bytes()));
    CHECK_FALSE(mapping.holds(~0ULL, 2));
    CHECK_FALSE(mapping.holds(2, ~0ULL));
}

TEST_CASE("What is written behind the end stays in this process") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(8 * kMiB)).has_value());
    const ArenaEditor one(place.path());
    const ArenaEditor other(place.path());
    *one.mapping().at<std::uint64_t>(~0ULL) = 7;
    CHECK(*one.mapping().at<std::uint64_t>(~0ULL - 100) == 7);
    CHECK(*other.mapping().at<std::uint64_t>(~0ULL) == 0);
}

TEST_CASE("Every operation on a damaged arena gives a value or an error, and ends") {
    for (const Damaging& damaging : kDamages) {
        INFO(damaging.invariant << ": " << damaging.what);
        TemporaryStore place;
        {
            auto store = Store::open(place.path(), with_limit(16 * kMiB));
            REQUIRE(store.has_value());
            fill(*store);
        }
        {
            ArenaEditor arena(place.path());
            damaging.damage(arena);
            arena.keep();
        }
        use(place.path());
        const auto report = Store::verify(place.path());
        INFO(describe(report));
        CHECK(report.has_value());
    }
}

TEST_CASE("The arena of a build with another layout is refused, and both layouts are named") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(8 * kMiB)).has_value());
    {
        ArenaEditor arena(place.path());
        arena.header().layout = {"arena 1 LE of another build"};
        arena.header().signature = XXH3_64bits(arena.header().layout.data(), arena.header().layout.size());
        arena.keep();
    }
    const auto attached = Store::attach(place.path());
    REQUIRE_CODE(attached, Code::kIncompatible);
    CHECK_THAT(attached.error().message, Catch::Contains("arena 1 LE of another build"));
    CHECK_THAT(attached.error().message, Catch::Contains(layout_words().data()));
    REQUIRE_CODE(Store::verify(place.path()), Code::kIncompatible);
}

TEST_CASE("An arena whose layout's words are damaged is damaged, and not another build's") {
    TemporaryStore place;
    REQUIRE(Store::open(place.path(), with_limit(8 * kMiB)).has_value());
    {
        ArenaEditor arena(place.path());
        arena.header().layout[20] = '\0';
        arena.keep();
    }
    REQUIRE_CODE(Store::attach(place.path()), Code::kDamaged);
    const auto report = Store::verify(place.path());
    REQUIRE_OK(report);
    CHECK_FALSE(report->sound());
}

TEST_CASE("Lists and chains that run in circles come to an end") {
    const auto with_circle = [](const auto& make) {
        TemporaryStore place;
        {
            auto store = Store::open(place.path(), with_limit(16 * kMiB));
            REQUIRE(store.has_value());
            fill(*store);
        }
        {
            ArenaEditor arena(place.path());
            make(arena);
            arena.keep();
        }
        const auto report = Store::verify(place.path());
        REQUIRE(report.has_value());
        CHECK_FALSE(report->sound());
        auto store = Store::attach(place.path());
        REQUIRE(store.has_value());
        (void)store->append("long", "x");
        const auto value = store->get("long");
        use(place.path());
        return value.has_value() ? Code::kInvalidArgument : value.error().code;
    };
    // The last segment leads back to the first, and the tail is none of them.
    CHECK(with_circle([](ArenaEditor& arena) {
              arena.set(arena.segment("long", 2).next, arena.chain("long").root);
          }) == Code::kDamaged);
    CHECK(with_circle([](ArenaEditor& arena) {
              auto& leaf = arena.leaf("long");
              for (auto& word : leaf.slots) arena.set(word, ArenaEditor::get(word) | kFrozen);
              arena.set(leaf.successor,
                        arena.offset_of(&leaf) | static_cast<std::uint64_t>(SuccessorKind::kRebuilt));
          }) == Code::kInvalidArgument);  // found all the same
    CHECK(with_circle([](ArenaEditor& arena) {
              auto& leaf = arena.leaf("long");
              arena.set(leaf.successor,
                        arena.offset_of(&leaf) | static_cast<std::uint64_t>(SuccessorKind::kSplit) | kPending);
              arena.set(leaf.sibling, arena.offset_of(&leaf));
          }) == Code::kInvalidArgument);
    CHECK(with_circle([](ArenaEditor& arena) {
              for (auto& head : arena.header().retired) {
                  const std::uint64_t first = ArenaEditor::get(head) & kRetiredOffsetBits;
                  const std::uint64_t object = ArenaEditor::get(head) & kRetiredObjectBits;
                  if (first != 0) arena.set(arena.at<Chain>(first).next_retired, object);
              }
          }) == Code::kInvalidArgument);
}
