// Who keeps memory from reuse, and how long an append waits for that.
//
// Thread safety: as Store. Everything here reads words that change meanwhile, and decides nothing but how long to
// wait.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "arena/descriptor.hpp"
#include "arena/spilled_blocks.hpp"
#include "store/impl.hpp"

namespace shoal {
namespace {

// For threads that are stopped, which may go on at once; and, where nothing is spilled, for views.
constexpr std::chrono::milliseconds kGrace{1000};
constexpr std::size_t kMostGivenUp = 64;

// Since which epoch the blocks of the slot's journals wait for readers; 0: there are none. A journal that is
// another object by now, which its owner writes plainly, gives nonsense, and one look more.
SHOAL_RACES_ON_PURPOSE std::uint64_t spilled_in(const Mapping& mapping, const Slot& slot) noexcept {
    std::uint64_t oldest = 0;
    std::uint64_t at = slot.spilling.load(std::memory_order_acquire);  // pairs with name_journal
    for (std::uint64_t left = kMostJournals; at != 0 && left != 0; --left) {
        const SpilledBlocks& journal = *mapping.at<SpilledBlocks>(at & ~63ULL);
        const std::uint64_t published =
            journal.published_in.load(std::memory_order_relaxed);  // relaxed, both: to show
        if (published != 0 && (oldest == 0 || published < oldest)) oldest = published;
        at = journal.next_of_slot.load(std::memory_order_relaxed);
    }
    return oldest;
}

}  // namespace

std::vector<StoreImpl::Holder> StoreImpl::holders() const {
    // relaxed, all: an answer of one moment
    std::vector<Holder> all;
    bool waits = epochs_.has_retired();
    const std::uint64_t epoch = epochs_.current();
    const std::uint32_t slots = slots_.high_water();
    for (std::uint32_t number = 0; number < slots; ++number) {
        waits = waits || spilled_in(mapping_, slots_[number]) != 0;
    }
    for (std::uint32_t number = 0; number < slots; ++number) {
        const Slot& slot = slots_[number];
        const std::uint32_t generation = slot.generation.load(std::memory_order_relaxed);
        const std::uint64_t inside = slot.epoch.load(std::memory_order_relaxed);
        const std::uint64_t draining = slot.draining.load(std::memory_order_relaxed);
        const std::uint64_t spilled = spilled_in(mapping_, slot);
        if (waits && inside != 0 && inside < epoch) {
            all.push_back({number, generation, inside, true});
        } else if ((draining & kDrainOwned) != 0) {
            all.push_back({number, generation, draining, false});
        } else if (spilled != 0 && spilled + kEpochBuckets - 1 <= epoch) {
            all.push_back({number, generation, spilled, false});
        }
    }
    return all;
}

bool StoreImpl::is_stopped(const Slot& slot) const {
    // relaxed, all: to show
    if (slot.pid_namespace.load(std::memory_order_relaxed) != this_pid_namespace()) return false;
    const std::int64_t process = slot.process_id.load(std::memory_order_relaxed);
    const std::int64_t said = slot.thread_id.load(std::memory_order_relaxed);
    const Descriptor file(::open(fmt::format("/proc/{}/task/{}/stat", process, said > 0 ? said : process).c_str(),
                                 O_RDONLY | O_CLOEXEC));
    std::array<char, 256> line{};
    const ssize_t count = file.get() < 0 ? 0 : ::read(file.get(), line.data(), line.size());
    const std::string_view text(line.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
    // "pid (command) state ...", where the command may have any bytes
    const std::size_t end = text.rfind(") ");
    return end != std::string_view::npos && end + 2 < text.size() && (text[end + 2] == 'T' || text[end + 2] == 't');
}

std::chrono::milliseconds StoreImpl::patience() {
    using std::chrono::milliseconds;
    const bool spills = spiller_.enabled();
    const std::vector<Holder> now = holders();
    std::vector<Holder> known;
    {
        const std::lock_guard lock(slots_.mutex());
        known = given_up_;
    }
    bool any_waits = false, any_long = false;
    for (const Holder& holder : now) {
        const bool is_known = std::find(known.begin(), known.end(), holder) != known.end();
        if (is_known && holder.is_behind) return milliseconds(0);  // nothing comes free before it moves on
        if (is_known) continue;
        const Slot& slot = slots_[holder.slot];
        // relaxed: to show
        const bool views = slot.thread_id.load(std::memory_order_relaxed) == kViewsThread;
        any_waits = true;
        any_long |= !is_stopped(slot) && (spills || !views);
    }
    // Where nothing holds back what is retired, its turn comes.
    if (any_long || (!any_waits && (spills || epochs_.has_retired()))) return room_wait_;
    return any_waits ? std::min(room_wait_, kGrace) : milliseconds(0);
}

void StoreImpl::give_up() {
    std::vector<Holder> now = holders();
    if (now.size() > kMostGivenUp) now.resize(kMostGivenUp);
    const std::lock_guard lock(slots_.mutex());
    given_up_ = std::move(now);
}

void StoreImpl::recover_dead_holders() noexcept {
    for (std::uint32_t number = 0; number < slots_.high_water(); ++number) {
        const Slot& slot = slots_[number];
        // relaxed, all: looked at again under the lock
        if (slot.epoch.load(std::memory_order_relaxed) != 0 || slot.draining.load(std::memory_order_relaxed) != 0 ||
            slot.spilling.load(std::memory_order_relaxed) != 0) {
            static_cast<void>(slots_.recover_if_dead(number));
        }
    }
}

}  // namespace shoal
