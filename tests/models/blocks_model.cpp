// The allocator: who gets a block has it alone, finds it zero, and no free block is lost (arena/blocks.cpp).
//
// Blocks are of 256 bytes, two a page, and all but two pages of the arena are taken.
#include "arena.hpp"
#include "check.hpp"

using namespace shoal;
using namespace shoal::model;

namespace {

constexpr std::uint64_t kBlockBytes = 256;
constexpr std::uint64_t kFreePages = 2;
constexpr std::uint64_t kBlocks = kFreePages * kPageBytes / kBlockBytes;

void name_owners(const Mapping& arena) {
    const ArenaHeader& header = arena.header();
    for (std::uint64_t page = 0; page < header.page_count; ++page)
        name(arena.at<Atomic<PageOwner>>(header.owners_at + page * sizeof(PageOwner)), "owner");
}

class BlocksModel : public Model {
protected:
    BlocksModel() {
        name_owners(arena_);
        const std::uint64_t pages = arena_.header().page_count - kFreePages;
        expect(!is_null(blocks_.allocate(slots_[3], pages * kPageBytes).offset), "there is room");
    }

    // A block that is this thread's alone, or null.
    [[nodiscard]] ArenaOffset take(unsigned thread) {
        const ArenaOffset block = blocks_.allocate(slots_[thread], kBlockBytes).offset;
        if (is_null(block)) return block;
        auto* words = arena_.at<AtomicWord>(block);
        expect(words[0].exchange(thread + 1, std::memory_order_relaxed) == 0, "a block has one owner");
        expect(words[1].load(std::memory_order_relaxed) == 0, "a block is zero when it is taken");
        words[1].store(~0ULL, std::memory_order_relaxed);
        return block;
    }
    void give_back(unsigned thread, ArenaOffset block) {
        const std::uint64_t owner = arena_.at<AtomicWord>(block)->load(std::memory_order_relaxed);
        expect(owner == thread + 1, "a block's owner is the one who took it");
        blocks_.release(slots_[thread], block, kBlockBytes, 16);
    }

    void expect_free(std::uint64_t blocks) {
        for (; blocks > 0; --blocks) expect(!is_null(take(3)), "every free block is found again");
        expect(is_null(take(3)), "and no more than there are");
    }
    void expect_all_free() {
        for (std::uint32_t slot = 0; slot < 3; ++slot) blocks_.give_back_sources(slots_[slot]);
        expect_free(kBlocks);
    }

    Mapping& arena_ = fresh_arena();
    Blocks blocks_{arena_};
    Slot* slots_ = arena_.at<Slot>(arena_.header().slots_at);
};

class TwoOwners : public BlocksModel {
public:
    void thread(unsigned number) override {
        for (int round = 0; round < 2; ++round) {
            const ArenaOffset one = take(number);
            const ArenaOffset two = take(number);
            if (!is_null(one)) give_back(number, one);
            if (!is_null(two)) give_back(number, two);
        }
        blocks_.give_back_sources(slots_[number]);
    }
    void after() override { expect_all_free(); }
};

// One takes from a page while another gives a block of it back: either the one finds it, or the other says that the
// page has one.
class GivenBackMeanwhile : public BlocksModel {
public:
    GivenBackMeanwhile() {
        for (ArenaOffset& block : held_) {
            block = take(0);
            expect(!is_null(block), "there is room");
        }
        blocks_.give_back_sources(slots_[0]);  // its page says that it may have a free block, and has none
    }
    void thread(unsigned number) override {
        if (number == 0) {
            give_back(0, held_.back());
        } else if (!is_null(take(number))) {
            taken_.store(1, std::memory_order_relaxed);
        }
    }
    void after() override {
        for (std::uint32_t slot = 0; slot < 2; ++slot) blocks_.give_back_sources(slots_[slot]);
        expect_free(1 - taken_.load(std::memory_order_relaxed));
    }

private:
    std::array<ArenaOffset, kBlocks> held_{};
    Atomic<std::uint64_t> taken_;
};

// Two take and give back runs of pages, and are killed at it; each recovers the other, and so does one that lives.
class KilledWithPages : public Model {
public:
    KilledWithPages() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        const std::uint64_t pages = arena_.header().page_count - kPages;
        Process& first = *processes_[0];
        expect(!is_null(first.blocks.allocate(first.slot, pages * kPageBytes).offset), "there is room");
        used_ = first.blocks.used_pages();
    }
    ~KilledWithPages() override {
        for (auto& process : processes_) {  // a process that was killed ends nothing
            if (process != nullptr && died_[process->number()]) static_cast<void>(process.release());
        }
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        const auto work = [&] {
            for (int round = 0; round < 2; ++round) {
                take_and_give_back(process, 1 + random(3));
                process.slots.recover_if_dead(number == 0 ? 1 : 0, process.slot);
            }
        };
        if (number < 2) {
            died_[number] = !run_mortal(80, work);
        } else {
            idle(40);
            work();
            process.slots.recover_if_dead(1, process.slot);
        }
    }
    void after() override {
        as_process(3, [this] {
            Process last(arena_);
            last.slots.recover_all_dead();
            for (std::uint32_t number = 0; number < 3; ++number)
                expect(last.slots[number].taking.load(std::memory_order_relaxed) == 0, "no journal names pages");
            expect(last.blocks.used_pages() == used_, "a death leaks no page");
            expect(!is_null(last.blocks.allocate(last.slot, kPages * kPageBytes).offset),
                   "what was on its way is free, as one run");
            expect(is_null(last.blocks.allocate(last.slot, kPageBytes).offset), "and no more than that");
        });
    }

private:
    static constexpr std::uint64_t kPages = 4;

    // The run stays in the journal until it is given back: nothing names it.
    void take_and_give_back(Process& process, std::uint64_t pages) {
        const std::uint64_t bytes = pages * kPageBytes;
        const ArenaOffset run = process.blocks.allocate_journalled(process.slot, bytes).offset;
        if (is_null(run)) return;
        const std::uint64_t first = (raw(run) - arena_.header().pages_at) / kPageBytes;
        for (std::uint64_t page = first; page < first + pages; ++page) {
            const std::uint32_t before = owners_[page].exchange(process.number() + 1, std::memory_order_relaxed);
            expect(before == 0 || is_dead(before - 1), "a page has one owner");  // the dead say nothing more
        }
        idle(60);
        for (std::uint64_t page = first; page < first + pages; ++page) {
            const auto& word = *arena_.at<Atomic<PageOwner>>(arena_.header().owners_at + page * sizeof(PageOwner));
            expect(word.load(std::memory_order_relaxed) == kPageInRun, "a page that is taken stays its owner's");
            owners_[page].store(0, std::memory_order_relaxed);
        }
        process.blocks.release(process.slot, run, bytes, 0);
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    std::array<bool, kSlots> died_{};
    std::array<Atomic<std::uint32_t>, 4 * kPiecePages> owners_;  // by page: who has it + 1
    std::uint64_t used_ = 0;
};

}  // namespace

TEST_CASE("A process that is killed while it takes or gives back pages leaks none, and takes none from others") {
    check_holds(3, make<KilledWithPages>(), 60'000);
}

TEST_CASE("A block has one owner, who finds it zero") { check_holds(3, make<TwoOwners>(), 60'000); }

TEST_CASE("It would not, if taking a block did not acquire what its last owner did") {
    const Mutant mutant{"Blocks::take_block", Kind::kChange, std::memory_order_acq_rel};
    check_breaks(3, make<TwoOwners>(), 50'000, mutant);
}

TEST_CASE("It would not, if a page's last owner did not release it") {
    const Mutant mutant{"Blocks::give_back_taken", Kind::kStore, std::memory_order_release,
                        std::memory_order_relaxed, "owner"};
    check_breaks(3, make<TwoOwners>(), 50'000, mutant);
}

TEST_CASE("It would not, if its next owner did not acquire it") {
    const Mutant mutant{"Blocks::take_pages", Kind::kExchangeIf, std::memory_order_acquire};
    check_breaks(3, make<TwoOwners>(), 50'000, mutant);
}

TEST_CASE("A block given back while another looks for one is not lost") {
    check_holds(2, make<GivenBackMeanwhile>(), 100'000);
}

TEST_CASE("It could be, if who gives back did not look at the partial bit in the one order") {
    const Mutant mutant{"Blocks::release", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_acquire};
    check_breaks(2, make<GivenBackMeanwhile>(), 50'000, mutant);
}

TEST_CASE("It could be, if who takes did not look at the block bits in the one order") {
    const Mutant mutant{"Blocks::take_block", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_acquire};
    check_breaks(2, make<GivenBackMeanwhile>(), 50'000, mutant);
}
