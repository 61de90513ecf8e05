// Who is attached, and what each is doing: for people, from words that change meanwhile.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include <fmt/format.h>

#include "arena/descriptor.hpp"
#include "store/impl.hpp"

namespace shoal {
namespace {

// Not by a stream: that throws where the thread ends between the open and the read.
std::string command_of(std::int64_t process_id, std::int64_t thread_id) {
    const std::int64_t thread = thread_id > 0 ? thread_id : process_id;
    const Descriptor file(
        ::open(fmt::format("/proc/{}/task/{}/comm", process_id, thread).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 64> name{};
    const ssize_t count = file.get() < 0 ? 0 : ::read(file.get(), name.data(), name.size());
    std::string_view text(name.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
    if (text.ends_with('\n')) text.remove_suffix(1);
    return std::string(text);
}

// relaxed, here and below: an answer of one moment
std::string doing(const Slot& slot, const Attached& each) {
    if (slot.state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(SlotState::kRecovering)) {
        return "recovering";
    }
    if (slot.erasing_chain.load(std::memory_order_relaxed) != 0) return "erasing";
    if (slot.dropping_tree.load(std::memory_order_relaxed) != 0) return "dropping";
    if (slot.draining.load(std::memory_order_relaxed) != 0) return "reclaiming";
    if (slot.segment.load(std::memory_order_relaxed) != 0) return "appending";
    if (slot.epoch.load(std::memory_order_relaxed) == 0) return "idle";
    if (each.is_spiller) return "spilling";
    return each.is_views ? "views" : "reading";
}

}  // namespace

Attached StoreImpl::attached_in(std::uint32_t slot_number) {
    const ArenaHeader& header = mapping_.header();
    const Slot& slot = slots_[slot_number];
    Attached each;
    each.slot = slot_number;
    each.process_id = slot.process_id.load(std::memory_order_relaxed);
    each.thread_id = slot.thread_id.load(std::memory_order_relaxed);
    each.is_views = each.thread_id == kViewsThread;
    each.is_spiller = each.thread_id == kSpillerThread;
    each.same_namespace = slot.pid_namespace.load(std::memory_order_relaxed) == this_pid_namespace();
    each.alive = slots_.is_alive(slot_number);
    if (each.alive && each.same_namespace) each.command = command_of(each.process_id, each.thread_id);
    each.stopped = each.alive && is_stopped(slot);
    const std::uint64_t epoch = slot.epoch.load(std::memory_order_relaxed);
    each.inside = epoch != 0;
    each.doing = doing(slot, each);
    const std::uint64_t now = epochs_.current();
    const std::uint64_t clock = boot_clock_ms();
    if (epoch != 0 && epoch < now) {
        each.epochs_behind = now - epoch;
        const std::uint64_t began = header.epoch_began_ms.load(std::memory_order_relaxed);
        each.behind_ms = clock > began ? clock - began : 0;
    } else if (slot.draining.load(std::memory_order_relaxed) != 0) {
        // It began within the second behind that.
        const std::uint64_t began =
            (slot.draining_since_s.load(std::memory_order_relaxed) + std::uint64_t{1}) * 1000;
        each.behind_ms = clock > began ? clock - began : 0;
    }
    return each;
}

Result<std::vector<Attached>> StoreImpl::attached() {
    if (auto lost = out_of_reach()) return tl::unexpected(std::move(*lost));
    if (epochs_.destroyed()) return tl::unexpected(destroyed());
    std::vector<Attached> all;
    for (std::uint32_t number = 0; number < slots_.high_water(); ++number) {
        // acquire: pairs with the release in Slots::sign, which comes after the ids
        const std::uint32_t state = slots_[number].state.load(std::memory_order_acquire);
        if (state != static_cast<std::uint32_t>(SlotState::kFree)) all.push_back(attached_in(number));
    }
    return all;
}

std::vector<Attached> StoreImpl::held_back_by(std::uint64_t least_ms) {
    std::vector<Attached> all;
    for (const Holder& holder : holders()) {
        Attached each = attached_in(holder.slot);
        if (!holder.is_behind &&
            (holder.word & kDrainOwned) == 0) {  // spilled: at the latest since the epoch moved last
            const std::uint64_t began = mapping_.header().epoch_began_ms.load(std::memory_order_relaxed);
            const std::uint64_t clock = boot_clock_ms();
            each.behind_ms = clock > began ? clock - began : 0;
        }
        if (each.epochs_behind != 0 || (!holder.is_behind && each.behind_ms >= least_ms)) {
            all.push_back(std::move(each));
        }
    }
    return all;
}

std::string StoreImpl::held_back_text() {
    const std::vector<Attached> all = held_back_by(0);
    if (all.empty()) return {};
    const Attached& first = all.front();
    std::string who = fmt::format("process {}", first.process_id);
    if (!first.is_views && !first.is_spiller) who += fmt::format(" (thread {})", first.thread_id);
    if (!first.command.empty()) who += fmt::format(" \"{}\"", first.command);
    if (!first.same_namespace) who += " of another pid namespace";
    if (first.stopped) who += ", which is stopped,";
    if (all.size() > 1) who += fmt::format(", and {} others,", all.size() - 1);
    const std::string since = fmt::format("{}.{} s", first.behind_ms / 1000, first.behind_ms / 100 % 10);
    std::string does = fmt::format("has been inside an operation ({})", first.doing);
    if (first.epochs_behind == 0) does = "has had memory in its hand that it is to free";
    if (first.is_spiller) does = "has been spilling";
    if (first.is_views) does = "has had views";
    return fmt::format(
        "{} {} for at least {} and so keeps retired memory ({} objects in all) from reuse: let it go on, or end "
        "it; "
        "or ",
        who, does, since, epochs_.retired_objects());
}

}  // namespace shoal
