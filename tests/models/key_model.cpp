// Key handles: a handle is used again and again, while others erase its key, make it anew, drop the index and free
// what they retired (index/remembered_chain.hpp).
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kKey = 1;

class KeyModel : public Model {
public:
    KeyModel() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        name(&arena_.header().retirements, "retirements");
        as_process(0, [this] {
            Process& first = *processes_[0];
            first.enter();
            first.index.publish_first_tree(first.index.make_tree(ArenaOffset::kNull, first.slot).offset);
            forget_made(first.slot, 0);
            expect(first.insert(kKey), "it is new");
            first.leave();
        });
    }

    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            for (int turn = 0; turn < 4; ++turn) {
                use_handle(process);
                idle(60);
            }
        } else if (number == 1) {
            idle(60);
            process.enter();
            if (drops_) {
                process.drop();
            } else {
                process.erase(kKey);
            }
            process.leave();
            process.reclaim(3, false);
        } else {
            for (int turn = 0; turn < 3; ++turn) {
                idle(60);
                process.reclaim(1, false);
            }
            if (makes_anew_) {
                process.enter();
                static_cast<void>(process.try_insert(kKey));
                process.leave();
            }
        }
    }

    void after() override {
        processes_[1]->reclaim(5, false);
        use_handle(*processes_[0]);
        expect(!processes_[1]->epochs.has_retired(), "everything retired is freed in the end");
    }

private:
    // As StoreImpl::find_chain, and its callers.
    void use_handle(Process& process) {
        process.enter();
        const ArenaOffset tree = process.index.tree();
        const ArenaOffset chain =
            find_remembered(arena_.header(), {handle_.chain, handle_.tree, handle_.retirements}, tree, true, [&] {
                return process.index.find(tree, Process::bytes_of(kKey), Process::hash_of(kKey),
                                          Index::Which::kFirst);
            });
        for (int turn = 0; turn < 2 && !is_null(chain); ++turn) {
            expect(arena_.at<Chain>(chain)->hash == Process::hash_of(kKey),
                   "a handle's chain is not freed while its user is inside");
            idle(20);
        }
        process.leave();
    }

    struct {
        std::uint64_t chain = 0;
        std::uint64_t tree = 0;
        std::uint64_t retirements = 0;
    } handle_;
    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    const bool drops_ = random(2) == 0;
    const bool makes_anew_ = random(2) == 0;
};

}  // namespace

TEST_CASE("A handle never leads to a chain that has been freed") { check_holds(3, make<KeyModel>(), 40'000); }

TEST_CASE("It could, if what was retired were not counted") {
    check_breaks(3, make<KeyModel>(), 40'000,
                 left_out("count_retirement", Kind::kChange, std::memory_order_release));
}

TEST_CASE("It could, if its user did not look at the count") {
    check_breaks(3, make<KeyModel>(), 40'000, left_out("find_remembered", Kind::kLoad, std::memory_order_acquire));
}

TEST_CASE("It could, if counting did not release what was unlinked before") {
    check_breaks(3, make<KeyModel>(), 40'000, {"count_retirement", Kind::kChange, std::memory_order_release});
}

TEST_CASE("It could, if reading the count did not acquire what was unlinked before") {
    check_breaks(3, make<KeyModel>(), 40'000, {"find_remembered", Kind::kLoad, std::memory_order_acquire});
}
