// Glances: a process without a slot, which only reads, is told whether what it has read can have been freed
// meanwhile (arena/glance.hpp), though two others retire and reclaim.
#include "arena.hpp"
#include "arena/glance.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kAlive = 0x40;  // in a chain's tail: zero once it is freed

// `Looks`: whether a renewal looks if what is read is linked still.
template <bool Looks>
class GlanceModel : public Model {
public:
    GlanceModel() {
        for (unsigned number = 0; number < 2; ++number) {
            as_process(number + 1, [&] { processes_[number].emplace(arena_); });
        }
        published_.store(raw(make_object()), std::memory_order_relaxed);
        others_ = {make_object(), make_object()};
        name(&published_, "published");
        name(&arena_.header().epoch, "epoch");
    }

    void thread(unsigned number) override {
        if (number == 0) {
            for (int turn = 0; turn < 3; ++turn) {
                idle(20);
                read(random(2) == 0);
            }
        } else if (number == 1) {
            idle(10);
            for (const ArenaOffset other : others_) {
                replace(other);
                processes_[0]->reclaim(2, false);
            }
            replace(ArenaOffset::kNull);
            processes_[0]->reclaim(3, false);
        } else {
            for (int turn = 0; turn < 3; ++turn) {
                idle(30);
                processes_[1]->reclaim(3, false);
            }
        }
    }

    void after() override {
        processes_[0]->reclaim(4, false);
        expect(!processes_[0]->epochs.has_retired(), "no glance holds anything back");
    }

private:
    ArenaOffset make_object() {
        Process& process = *processes_[0];
        const ArenaOffset object = process.blocks.allocate(process.slot, sizeof(Chain)).offset;
        expect(!is_null(object), "there is room");
        arena_.at<Chain>(object)->tail.store(kAlive, std::memory_order_relaxed);
        return object;
    }

    void read(bool renews) {
        Glance glance(arena_);
        const auto object = static_cast<ArenaOffset>(published_.load(std::memory_order_acquire));
        if (is_null(object)) return;
        for (int turn = 0; turn < 3; ++turn) {
            const std::uint64_t word = arena_.at<Chain>(object)->tail.load(std::memory_order_relaxed);
            const auto is_linked = [&] {
                return !Looks || published_.load(std::memory_order_acquire) == raw(object);
            };
            if (!(renews ? glance.renew(is_linked) : glance.holds())) return;
            expect(word == kAlive, "what is read in a glance that holds was not freed");
            idle(15);
        }
    }

    void replace(ArenaOffset object) {
        Process& process = *processes_[0];
        process.enter();
        const auto old = static_cast<ArenaOffset>(published_.exchange(raw(object), std::memory_order_acq_rel));
        process.epochs.retire(RetiredKind::kChain, old);
        process.leave();
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::optional<Process>, 2> processes_;
    Atomic<std::uint64_t> published_;
    std::array<ArenaOffset, 2> others_{};
};

}  // namespace

TEST_CASE("What was read in a glance that holds was not freed") {
    check_holds(3, make<GlanceModel<true>>(), 100'000);
}

TEST_CASE("It could be, if the beginning of a glance were not fenced") {
    check_breaks(3, make<GlanceModel<true>>(), 100'000, {"Glance::begin", Kind::kFence, std::memory_order_seq_cst});
}

TEST_CASE("It could be, if the look whether it holds were not fenced") {
    check_breaks(3, make<GlanceModel<true>>(), 100'000, {"glance_holds", Kind::kFence, std::memory_order_acquire});
}

TEST_CASE("It could be, if retiring were not fenced") {
    check_breaks(3, make<GlanceModel<true>>(), 100'000,
                 {"Epochs::retire", Kind::kFence, std::memory_order_seq_cst});
}

TEST_CASE("It could be, if a renewal did not look whether it is still linked") {
    CHECK_FALSE(run(3, make<GlanceModel<false>>(), 100'000).passed);
}
