#include "spill/spiller.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "io/queue.hpp"
#include "io/start_thread.hpp"
#include "spill/pass.hpp"

namespace shoal {
namespace {

// Of the memory limit: above the one spilling begins, and goes on to the other.
constexpr std::uint64_t kHighWater16ths = 12;
constexpr std::uint64_t kLowWater16ths = 10;
constexpr std::uint64_t kShareForWaiting = 8;  // of the limit, spilled for who has run out, at least

constexpr std::uint64_t kLeastPiece = 16 << 20;  // of all that is there, spilled in one go

// Bytes that are merged for each byte that is spilled, at most, before more is spilled: no byte is merged more
// often.
constexpr std::uint64_t kMergedPerSpilled = kMergeTiers;
constexpr std::uint64_t kAllThereIs = ~0ULL;
constexpr unsigned kMostHeldBack = 100;  // looks in a row whether a merge can go on
constexpr std::chrono::microseconds kHeldBackPause{100};

constexpr std::chrono::milliseconds kAtOnce{0};
constexpr std::chrono::milliseconds kIdle{2000};  // then a look whether somebody called and died
constexpr std::chrono::milliseconds kRetry{100};  // after a failure, or where nothing could be had
constexpr std::chrono::milliseconds kNap{20};     // of who waits for room

}  // namespace

// What this process spills with. Left to the parent in a child of fork: a thread and locks that are not there.
struct Spiller::Worker {
    explicit Worker(const SpillContext& context, const Index& index) : pass(context, index) {}
    std::uint64_t attachment = 0;
    std::mutex mutex;  // of pass
    SpillPass pass;
    std::string engine;  // of the pass; guarded by Slots::mutex(), as it is shown to others
    std::thread thread;
    std::atomic<bool> stop{false};
};

Spiller::Spiller(const SpillContext& context, const Index& index) : context_(context), index_(&index) {}

Spiller::~Spiller() {
    stop();
    // The parent's: none of it works here.
    if (worker_ != nullptr && worker_->attachment != context_.slots.attachment()) {
        static_cast<void>(worker_.release());
    }
}

void Spiller::stop() noexcept {
    if (worker_ == nullptr || worker_->attachment != context_.slots.attachment()) return;
    worker_->stop.store(true, std::memory_order_release);  // pairs with run(), as the call below
    if (!worker_->thread.joinable()) return;
    SpillCalls(context_.mapping.header()).wake_spillers();
    worker_->thread.join();
}

Spiller::Worker& Spiller::worker() {
    const std::lock_guard lock(context_.slots.mutex());
    if (worker_ == nullptr || worker_->attachment != context_.slots.attachment()) {
        static_cast<void>(worker_.release());
        worker_ = std::make_unique<Worker>(context_, *index_);
        worker_->attachment = context_.slots.attachment();
    }
    return *worker_;
}

void Spiller::start() {
    if (!enabled()) return;
    wants_thread_ = true;
    static_cast<void>(try_start());
}

bool Spiller::try_start() {
    Worker& own = worker();
    const std::lock_guard lock(context_.slots.mutex());
    if (own.thread.joinable()) return true;
    const SpillCalls::Listener listener(context_.mapping.header());  // here: it hears who asks from now on
    return start_thread(own.thread, [this, &own, listener] { run(own, listener); }) == 0;
}

void Spiller::call() noexcept { SpillCalls(context_.mapping.header()).call(); }

std::uint64_t Spiller::excess() const noexcept {
    // Pages, though those of small blocks may be half empty: a large segment needs whole ones.
    const std::uint64_t pages = context_.blocks.pages();
    const std::uint64_t used = context_.blocks.used_pages();
    return used > pages * kHighWater16ths / 16 ? (used - pages * kLowWater16ths / 16) * kPageBytes : 0;
}

Spiller::Spilled Spiller::spill_with(Worker& own, std::uint64_t wanted, bool with_tails, Why why,
                                     SpillPass::Trip* trip) {
    const std::lock_guard lock(own.mutex);
    if (why == Why::kNoRoom && own.pass.is_held_back()) return {};
    ArenaHeader& header = context_.mapping.header();
    SpillPass::Outcome outcome;
    if (context_.mapping.has_lost_name()) {
        outcome.error = ESTALE;  // no more is to be acknowledged in an arena that nobody else reaches
    } else {
        outcome =
            trip != nullptr ? own.pass.run(wanted, *trip, own.stop) : own.pass.run(wanted, with_tails, own.stop);
    }
    if (own.engine.empty()) {
        try {
            std::string engine = own.pass.engine();
            const std::lock_guard show(context_.slots.mutex());
            own.engine = std::move(engine);
        } catch (const std::bad_alloc&) {
            // It is only to show; the next time it is set.
        }
    }
    // relaxed, all: to show, and for who waits, by the answer
    if (outcome.error != 0) {
        header.spill_errno.store(static_cast<std::uint32_t>(outcome.error), std::memory_order_relaxed);
        header.spill_failures.fetch_add(1, std::memory_order_relaxed);
    } else if (outcome.block_bytes != 0) {
        header.spill_errno.store(0, std::memory_order_relaxed);
    }
    if (outcome.error != 0 || outcome.block_bytes != 0) SpillCalls(header).answer();
    return outcome;
}

Spiller::Spilled Spiller::spill(std::uint64_t wanted) {
    if (!enabled()) return {};
    Worker& own = worker();
    const std::uint64_t limit = context_.mapping.bytes();
    std::optional<SpillPass::Trip> trip;
    if (wanted >= limit) trip.emplace(context_.mapping.header());
    Spilled all;
    for (;;) {
        // A trip goes on in pieces, between which the thread that others wait for gets its turn.
        const std::uint64_t more =
            trip ? std::max(limit / kShareForWaiting, kLeastPiece) : wanted - all.block_bytes;
        const Spilled some = spill_with(own, more, true, Why::kAsked, trip ? &*trip : nullptr);
        all.block_bytes += some.block_bytes;
        all.error = some.error;
        merge(own, some.block_bytes * kMergedPerSpilled);
        if (trip && some.error == 0 && !trip->ended() && !some.held_back && some.block_bytes != 0) continue;
        merge(own, kAllThereIs);
        {
            const std::lock_guard lock(own.mutex);
            own.pass.rest();
        }
        // Readers hold back what is spilled, and with it what the pass goes on with; it has new ones now.
        if (!some.held_back || some.block_bytes == 0) return all;
        if (trip ? trip->ended() : all.block_bytes >= wanted) return all;
    }
}

// Merges what the pass has proposed, up to about that much payload.
void Spiller::merge(Worker& own, std::uint64_t most_bytes) {
    std::uint64_t merged = 0;
    unsigned held_back = 0;                                                     // times in a row
    while (merged < most_bytes && !own.stop.load(std::memory_order_relaxed)) {  // relaxed: as run_inside
        auto step = Merger::Step::kNothing;
        {
            const std::lock_guard lock(own.mutex);
            const std::uint64_t before = own.pass.merged_bytes();
            try {
                step = own.pass.merge();
            } catch (const std::bad_alloc&) {
                return;  // what is proposed yet is merged another time
            }
            merged += own.pass.merged_bytes() - before;
        }
        held_back = step == Merger::Step::kHeldBack ? held_back + 1 : 0;
        if (step == Merger::Step::kNothing || held_back == kMostHeldBack) return;
        // A thread that is inside for longer than an operation is waiting, or has none of the processors.
        if (held_back != 0) std::this_thread::sleep_for(kHeldBackPause);
    }
}

Spiller::Spilled Spiller::help(std::uint64_t wanted) {
    Worker& own = worker();
    const Spilled spilled = spill_with(own, wanted, true, Why::kNoRoom);
    const std::lock_guard lock(own.mutex);
    own.pass.rest();
    return spilled;
}

void Spiller::run(Worker& own, SpillCalls::Listener listener) {
    {
        const std::lock_guard lock(own.mutex);
        own.pass.prepare();
    }
    const auto is_over = [&] {  // acquire: pairs with stop()
        return own.stop.load(std::memory_order_acquire) || context_.epochs.destroyed();
    };
    listener.serve(is_over, [&](bool somebody_waits) {
        std::uint64_t wanted = excess();
        if (somebody_waits) wanted = std::max(wanted, limit_of(context_.mapping.bytes()) / kShareForWaiting);
        std::chrono::milliseconds pause = kIdle;
        if (wanted != 0) {
            const std::uint64_t spilled = spill_with(own, wanted, somebody_waits, Why::kNoRoom).block_bytes;
            merge(own, spilled * kMergedPerSpilled);
            if (spilled != 0) return kAtOnce;
            pause = kRetry;
        }
        merge(own, kAllThereIs);
        const std::lock_guard lock(own.mutex);
        own.pass.rest();
        return pause;
    });
}

void Spiller::wait_for_room(std::chrono::milliseconds most) {
    SpillCalls calls(context_.mapping.header());
    const bool has_thread = wants_thread_ && try_start();  // in a child of fork it is not there yet
    const std::uint32_t asked = calls.ask();
    if (!has_thread && help(limit_of(context_.mapping.bytes()) / kShareForWaiting).block_bytes != 0) return;
    calls.wait(asked, std::min(most, kNap));
}

std::string Spiller::engine() const {
    {
        const std::lock_guard lock(context_.slots.mutex());
        if (worker_ != nullptr && !worker_->engine.empty()) return worker_->engine;
    }
    if (!enabled()) return {};
    {
        const std::lock_guard lock(context_.slots.mutex());
        if (!would_be_engine_.empty()) return would_be_engine_;
    }
    std::string why = IoQueue::make(1).why();
    const std::lock_guard lock(context_.slots.mutex());
    return would_be_engine_ = std::move(why);
}

std::uint32_t Spiller::failures() const noexcept {
    // relaxed, here and below: an answer of one moment
    return context_.mapping.header().spill_failures.load(std::memory_order_relaxed);
}

int Spiller::last_error() const noexcept {
    return static_cast<int>(context_.mapping.header().spill_errno.load(std::memory_order_relaxed));
}

}  // namespace shoal
