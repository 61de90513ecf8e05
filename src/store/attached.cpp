// Who is attached, and what each is doing: for people, from words that change meanwhile.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include <fmt/format.h>

#include "store/descriptor.hpp"
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
std::string doing(const ArenaHeader& header, const Slot& slot, std::uint32_t number, const Attached& each) {
    if (slot.erasing_chain.load(std::memory_order_relaxed) != 0) return "erasing";
    if (slot.dropping_tree.load(std::memory_order_relaxed) != 0) return "dropping";
    if (header.reclaimer.load(std::memory_order_relaxed) == number + 1) return "reclaiming";
    if (slot.segment.load(std::memory_order_relaxed) != 0) return "appending";
    if (slot.epoch.load(std::memory_order_relaxed) == 0) return "idle";
    if (each.is_spiller) return "spilling";
    return each.is_views ? "views" : "reading";
}

}  // namespace

Result<std::vector<Attached>> StoreImpl::attached() {
    if (auto lost = out_of_reach()) return tl::unexpected(std::move(*lost));
    if (epochs_.destroyed()) return tl::unexpected(destroyed());
    const ArenaHeader& header = mapping_.header();
    const std::uint64_t own_namespace = this_pid_namespace();
    std::vector<Attached> all;
    for (std::uint32_t number = 0; number < slots_.high_water(); ++number) {
        const Slot& slot = slots_[number];
        // acquire: pairs with the release in Slots::take_locked, which comes after the ids
        if (slot.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(SlotState::kFree)) continue;
        Attached each;
        each.slot = number;
        each.process_id = slot.process_id.load(std::memory_order_relaxed);
        each.thread_id = slot.thread_id.load(std::memory_order_relaxed);
        each.is_views = each.thread_id == kViewsThread;
        each.is_spiller = each.thread_id == kSpillerThread;
        const std::uint64_t theirs = slot.pid_namespace.load(std::memory_order_relaxed);
        each.same_namespace = theirs == own_namespace;
        each.alive = slots_.is_alive(number);
        if (each.alive && each.same_namespace) each.command = command_of(each.process_id, each.thread_id);
        const std::uint64_t epoch = slot.epoch.load(std::memory_order_relaxed);
        each.inside = epoch != 0;
        each.doing = doing(header, slot, number, each);
        const std::uint64_t now = epochs_.current();
        if (epoch != 0 && epoch < now) {
            each.epochs_behind = now - epoch;
            const std::uint64_t began = header.epoch_began_ms.load(std::memory_order_relaxed);
            const std::uint64_t clock = boot_clock_ms();
            each.behind_ms = clock > began ? clock - began : 0;
        }
        all.push_back(std::move(each));
    }
    return all;
}

std::vector<Attached> StoreImpl::held_back_by() {
    if (!epochs_.has_retired()) return {};
    auto all = attached();
    if (!all) return {};
    std::erase_if(*all, [](const Attached& each) { return each.epochs_behind == 0; });
    return std::move(*all);
}

std::string StoreImpl::held_back_text() {
    const std::vector<Attached> all = held_back_by();
    if (all.empty()) return {};
    const Attached& first = all.front();
    std::string who = fmt::format("process {}", first.process_id);
    if (!first.is_views && !first.is_spiller) who += fmt::format(" (thread {})", first.thread_id);
    if (!first.command.empty()) who += fmt::format(" \"{}\"", first.command);
    if (!first.same_namespace) who += " of another pid namespace";
    if (all.size() > 1) who += fmt::format(", and {} others,", all.size() - 1);
    const std::string since = fmt::format("{}.{} s", first.behind_ms / 1000, first.behind_ms / 100 % 10);
    const char* inside = first.is_spiller ? "has been spilling" : "has been inside an operation";
    return fmt::format(
        "{} {} for at least {} and so keeps {} retired objects from reuse: let it go on, or end it; or ", who,
        first.is_views ? "has had views" : inside, since, epochs_.retired_objects());
}

}  // namespace shoal
