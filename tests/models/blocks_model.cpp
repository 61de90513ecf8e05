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

// Runs of a page, and no more pages than owners.
class TwoOwnersOfRuns : public BlocksModel {
public:
    void thread(unsigned number) override {
        for (int round = 0; round < 3; ++round) {
            const ArenaOffset run = blocks_.allocate(slots_[number], kPageBytes).offset;
            if (is_null(run)) continue;
            auto* word = arena_.at<AtomicWord>(run);
            expect(word->load(std::memory_order_relaxed) == 0, "a run is zero when it is taken");
            word->store(~0ULL, std::memory_order_relaxed);
            blocks_.release(slots_[number], run, kPageBytes, sizeof(AtomicWord));
        }
    }
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
                process.slots.recover_if_dead(number == 0 ? 1 : 0);
            }
        };
        if (number < 2) {
            died_[number] = !run_mortal(80, work);
        } else {
            idle(40);
            work();
            process.slots.recover_if_dead(1);
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
        const std::uint64_t nowhere = arena_.header().slots_at;  // the word of no object: it never names the run
        const ArenaOffset run = process.blocks.allocate_for(nowhere, process.slot, bytes).offset;
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

// Two make objects that name runs, and give the runs back, and are killed at it, or in the recovery of one another,
// to which the object belongs.
class KilledWithNamedRuns : public Model {
public:
    KilledWithNamedRuns() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = make_process(); });
        }
        const std::uint64_t pages = arena_.header().page_count - kPages - 1;
        Process& first = *processes_[0];
        expect(!is_null(first.blocks.allocate(first.slot, pages * kPageBytes).offset), "there is room");
        objects_ = first.blocks.allocate(first.slot, kLargestBlockBytes).offset;
        used_ = first.blocks.used_pages();
    }
    ~KilledWithNamedRuns() override {
        for (auto& process : processes_) {  // a process that was killed ends nothing
            if (process != nullptr && died_[process->number()]) static_cast<void>(process.release());
        }
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        const auto work = [&] {
            for (int round = 0; round < 2; ++round) {
                make(process, 1 + random(3));
                give_back(process, process.slot);
                process.slots.recover_if_dead(number == 0 ? 1 : 0);
            }
        };
        if (number < 2) {
            died_[number] = !run_mortal(80, work);
        } else {
            idle(40);
            work();
            process.slots.recover_if_dead(1);
        }
    }
    void after() override {
        as_process(3, [this] {
            const auto last = make_process();
            last->slots.recover_all_dead();
            for (std::uint32_t number = 0; number < 3; ++number) {
                expect(last->slots[number].taking.load(std::memory_order_relaxed) == 0, "no journal names pages");
                expect(object(number)[kRun].load(std::memory_order_relaxed) == 0, "no object is left");
            }
            expect(last->blocks.used_pages() == used_, "a death leaks no run that an object named");
            expect(!is_null(last->blocks.allocate(last->slot, kPages * kPageBytes).offset),
                   "what was on its way is free, as one run");
        });
    }

protected:
    // What the object of a slot names is given back by the slot's owner, or its recoverer.
    virtual void forget(Process& process, Slot& slot, ArenaOffset run, std::uint64_t bytes) {
        AtomicWord& name = object(process.slots.number(slot))[kRun];
        process.blocks.give_up(offset_of(name), slot, run, bytes);
        name.store(0, std::memory_order_relaxed);
        process.blocks.release(slot, run, bytes, sizeof(AtomicWord));
    }
    [[nodiscard]] std::uint64_t offset_of(const AtomicWord& word) const {
        return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&word) -
                                          arena_.at<std::byte>(std::uint64_t{0}));
    }
    enum : std::size_t { kRun, kRunPages, kWords };  // of an object
    [[nodiscard]] AtomicWord* object(std::uint32_t slot_number) {
        return arena_.at<AtomicWord>(objects_) + slot_number * kWords;
    }

    static constexpr std::uint64_t kPages = 4;

    std::unique_ptr<Process> make_process() {
        auto process = std::make_unique<Process>(arena_);
        Process& made = *process;
        made.slots.on_death([this, &made](Slot& dead) {
            made.blocks.free_taken(dead);
            give_back(made, dead);
        });
        return process;
    }
    void make(Process& process, std::uint64_t pages) {
        AtomicWord* words = object(process.number());
        words[kRunPages].store(pages, std::memory_order_relaxed);
        const ArenaOffset run =
            process.blocks.allocate_for(offset_of(words[kRun]), process.slot, pages * kPageBytes).offset;
        if (is_null(run)) return;
        words[kRun].store(raw(run), std::memory_order_relaxed);
        process.blocks.keep(process.slot);
        auto* bytes = arena_.at<AtomicWord>(run);
        for (std::uint64_t page = 0; page < pages; ++page) {
            AtomicWord& first = bytes[page * kPageBytes / sizeof(AtomicWord)];
            expect(first.exchange(page == 0 ? process.number() + 1 : 0, std::memory_order_relaxed) == 0,
                   "a run is zero when it is taken");
        }
        idle(40);
        expect_own(process);
    }
    void expect_own(Process& process) {
        const std::uint64_t run = object(process.number())[kRun].load(std::memory_order_relaxed);
        if (run == 0) return;
        const std::uint64_t owner = arena_.at<AtomicWord>(run)->load(std::memory_order_relaxed);
        expect(owner == process.number() + 1, "a run has one owner");
    }
    void give_back(Process& process, Slot& slot) {
        AtomicWord* words = object(process.slots.number(slot));
        const auto run = static_cast<ArenaOffset>(words[kRun].load(std::memory_order_relaxed));
        if (is_null(run)) return;
        forget(process, slot, run, words[kRunPages].load(std::memory_order_relaxed) * kPageBytes);
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    std::array<bool, kSlots> died_{};
    ArenaOffset objects_ = ArenaOffset::kNull;
    std::uint64_t used_ = 0;
};

// The object forgets the run before the journal names it.
class RunForgottenFirst : public KilledWithNamedRuns {
protected:
    void forget(Process& process, Slot& slot, ArenaOffset run, std::uint64_t bytes) override {
        object(process.slots.number(slot))[kRun].store(0, std::memory_order_relaxed);
        process.blocks.release(slot, run, bytes, sizeof(AtomicWord));
    }
};

// One is killed, another in its recovery, and a third recovers the first, takes what is free, and recovers the
// second.
class KilledInRecovery : public KilledWithNamedRuns {
public:
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            died_[0] = !run_mortal(60, [&] {
                make(process, 2);
                give_back(process, process.slot);
            });
        } else if (number == 1) {
            idle(60);
            died_[1] = !run_mortal(30, [&] { process.slots.recover_if_dead(0); });
        } else {
            idle(120);
            process.slots.recover_if_dead(0);
            make(process, kPages);
            process.slots.recover_if_dead(1);
            expect_own(process);
            give_back(process, process.slot);
            process.slots.recover_if_dead(0);
        }
    }
};

// Recovery gives back under the journal of the thread that recovers.
class RunOfAnotherSlot : public KilledInRecovery {
protected:
    void forget(Process& process, Slot& slot, ArenaOffset run, std::uint64_t bytes) override {
        AtomicWord& name = object(process.slots.number(slot))[kRun];
        process.blocks.give_up(offset_of(name), process.slot, run, bytes);
        name.store(0, std::memory_order_relaxed);
        process.blocks.release(process.slot, run, bytes, sizeof(AtomicWord));
    }
};

// Two take a block each, of pages that they cut and that others empty, and are killed at it and recovered.
class KilledWithBlocks : public Model {
public:
    KilledWithBlocks() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        name_owners(arena_);
        const std::uint64_t pages = arena_.header().page_count - kFreePages;
        Process& first = *processes_[0];
        expect(!is_null(first.blocks.allocate(first.slot, pages * kPageBytes).offset), "there is room");
    }
    ~KilledWithBlocks() override {
        for (auto& process : processes_) {  // a process that was killed ends nothing
            if (process != nullptr && died_[process->number()]) static_cast<void>(process.release());
        }
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        const auto work = [&] {
            for (int round = 0; round < 2; ++round) {
                take_and_give_back(process);
                if (random(2) == 0) process.blocks.give_back_sources(process.slot);
                if (random(2) == 0) static_cast<void>(process.blocks.release_empty_pages(process.slot));
                process.slots.recover_if_dead(number == 0 ? 1 : 0);
            }
        };
        if (number < 2) {
            died_[number] = !run_mortal(70, work);
        } else {
            idle(40);
            work();
            process.slots.recover_if_dead(1);
        }
    }
    void after() override {
        as_process(3, [this] {
            Process last(arena_);
            last.slots.recover_all_dead();
            for (const auto& process : processes_) {
                if (!died_[process->number()]) process->blocks.give_back_sources(process->slot);
            }
            static_cast<void>(last.blocks.release_empty_pages(last.slot));
            const std::uint64_t deaths = (died_[0] ? 1 : 0) + (died_[1] ? 1 : 0);
            const std::uint64_t taken = last.blocks.used_pages() - (arena_.header().page_count - kFreePages);
            expect(taken <= deaths, "a death leaks one block at most, in a page");
            std::uint64_t blocks = 0;
            while (!is_null(take(last))) ++blocks;
            expect(blocks <= kBlocks && blocks + deaths >= kBlocks, "a death leaks one block, and no page");
        });
    }

private:
    ArenaOffset take(Process& process) {
        const ArenaOffset block = process.blocks.allocate(process.slot, kBlockBytes).offset;
        if (is_null(block)) return block;
        auto* words = arena_.at<AtomicWord>(block);
        expect(words[0].exchange(process.number() + 1, std::memory_order_relaxed) == 0, "a block has one owner");
        return block;
    }
    void take_and_give_back(Process& process) {
        const ArenaOffset block = take(process);
        if (is_null(block)) return;
        idle(20);
        const std::uint64_t owner = arena_.at<AtomicWord>(block)->load(std::memory_order_relaxed);
        expect(owner == process.number() + 1, "a block's owner is the one who took it");
        process.blocks.release(process.slot, block, kBlockBytes, sizeof(AtomicWord));
    }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    std::array<bool, kSlots> died_{};
};

// One takes a block from its source, the only page that is left, while another empties the page, and is killed at
// it.
class KilledEmptier : public Model {
public:
    KilledEmptier() {
        for (unsigned number = 0; number < 3; ++number) {
            as_process(number, [&] { processes_[number] = std::make_unique<Process>(arena_); });
        }
        name_owners(arena_);
        Process& first = *processes_[0];
        const ArenaOffset block = take(first);
        first.blocks.release(first.slot, block, kBlockBytes, 0);
        // Two may share a source.
        const auto page = static_cast<std::uint32_t>((raw(block) - arena_.header().pages_at) / kPageBytes);
        processes_[1]->slot.sources[kSizeClasses - 1].page.store(page + 1, std::memory_order_relaxed);
        while (!is_null(first.blocks.allocate(first.slot, kPageBytes).offset)) {
        }
    }
    ~KilledEmptier() override {
        if (died_) static_cast<void>(processes_[1].release());  // a process that was killed ends nothing
    }
    void thread(unsigned number) override {
        Process& process = *processes_[number];
        if (number == 0) {
            block_ = take(process);
            process.blocks.give_back_sources(process.slot);
        } else if (number == 1) {
            died_ = !run_mortal(30, [&] { process.blocks.give_back_sources(process.slot); });
        } else {
            idle(30);
            process.slots.recover_if_dead(1);
        }
    }
    void after() override {
        as_process(3, [this] {
            Process last(arena_);
            last.slots.recover_all_dead();
            static_cast<void>(last.blocks.release_empty_pages(last.slot));  // it may have stayed one of blocks
            const bool free = !is_null(last.blocks.allocate(last.slot, kPageBytes).offset);
            expect(free == is_null(block_), "a page is free if none of its blocks is owned, and only then");
        });
    }

private:
    static ArenaOffset take(Process& process) { return process.blocks.allocate(process.slot, kBlockBytes).offset; }

    Mapping& arena_ = fresh_arena();
    std::array<std::unique_ptr<Process>, 3> processes_;
    bool died_ = false;
    ArenaOffset block_ = ArenaOffset::kNull;
};

void check_fails(const Factory& factory) {
    for (const std::uint64_t first : {1U, 1'000'000'001U, 2'000'000'001U}) {
        CHECK_FALSE(run(3, factory, 50'000, nullptr, first).passed);
    }
}

}  // namespace

TEST_CASE("A process that is killed while it makes or frees an object that names a run leaks no run") {
    check_holds(3, make<KilledWithNamedRuns>(), 20'000);
}

TEST_CASE("Nor does one that is killed in the recovery of another, and no run is freed twice") {
    check_holds(3, make<KilledInRecovery>(), 20'000);
}

TEST_CASE("It could, if the object forgot the run before the journal named it") {
    check_fails(make<RunForgottenFirst>());
}

TEST_CASE("A run could be freed twice, if recovery used the journal of the thread that recovers") {
    check_fails(make<RunOfAnotherSlot>());
}

TEST_CASE("A process that is killed while it cuts a page into blocks or empties it leaks a block at most") {
    check_holds(3, make<KilledWithBlocks>(), 20'000);
}

TEST_CASE("A page is free when its emptier has died, or keeps the block that another takes meanwhile") {
    check_holds(3, make<KilledEmptier>(), 20'000);
}

TEST_CASE("It might not, if who takes the block did not look at the page in the one order") {
    const Mutant mutant{"Blocks::take_block", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_relaxed,
                        "owner"};
    check_breaks(3, make<KilledEmptier>(), 50'000, mutant);
}

TEST_CASE("It might not, if who empties the page did not look at its blocks in the one order") {
    const Mutant mutant{"Blocks::is_empty_page", Kind::kLoad, std::memory_order_seq_cst, std::memory_order_relaxed};
    check_breaks(3, make<KilledEmptier>(), 50'000, mutant);
}

TEST_CASE("A process that is killed while it takes or gives back pages leaks none, and takes none from others") {
    check_holds(3, make<KilledWithPages>(), 60'000);
}

TEST_CASE("A block has one owner, who finds it zero") { check_holds(3, make<TwoOwners>(), 60'000); }

TEST_CASE("It would not, if taking a block did not acquire what its last owner did") {
    const Mutant mutant{"Blocks::take_block", Kind::kChange, std::memory_order_seq_cst};
    check_breaks(3, make<TwoOwners>(), 50'000, mutant);
}

TEST_CASE("A run is zero when it is taken") { check_holds(3, make<TwoOwnersOfRuns>(), 60'000); }

TEST_CASE("It would not be, if a page's last owner did not release it") {
    const Mutant mutant{"Blocks::give_back_taken", Kind::kStore, std::memory_order_release,
                        std::memory_order_relaxed, "owner"};
    check_breaks(3, make<TwoOwnersOfRuns>(), 50'000, mutant);
}

TEST_CASE("It would not be, if its next owner did not acquire it") {
    const Mutant mutant{"Blocks::take_pages", Kind::kExchangeIf, std::memory_order_acquire};
    check_breaks(3, make<TwoOwnersOfRuns>(), 50'000, mutant);
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
