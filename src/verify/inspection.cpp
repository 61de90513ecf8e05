#include "verify/inspection.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "arena/plan.hpp"

namespace shoal {
namespace {

std::uint32_t class_of_block(std::uint64_t bytes) noexcept {
    return static_cast<std::uint32_t>(std::countr_zero(Blocks::block_bytes(bytes) / kSmallestBlockBytes));
}

constexpr std::uint64_t kLooksABlock = 4;  // beside others: each may be reached again when it has changed hands

}  // namespace

// The tables' places come from the size, not from the header: that one has been checked, and may change.
Inspection::Inspection(const Mapping& mapping, bool at_rest, VerifyReport& report)
    : bytes_(mapping),
      at_rest_(at_rest),
      report_(&report),
      reached_(mapping.bytes() / 64),
      budget_(mapping.bytes() / 64 * kLooksABlock) {
    const ArenaPlan plan = plan_arena(mapping.bytes());
    page_count_ = plan.page_count;
    words_ = (plan.page_count + 63) / 64;
    used_at_ = plan.used_at;
    real_at_ = plan.real_at;
    tables_at_ = plan.tables_at;
    owners_at_ = plan.owners_at;
    partial_at_ = plan.partial_at;
    block_bits_at_ = plan.block_bits_at;
    pages_at_ = plan.pages_at;
    report.at_rest = at_rest;
    report.pages = page_count_;
}

void Inspection::damage(std::string_view invariant, std::uint64_t offset, std::string what) {
    report_->damage_count += 1;
    const auto told = std::count_if(report_->damage.begin(), report_->damage.end(),
                                    [&](const Damage& other) { return other.invariant == invariant; });
    if (told >= static_cast<std::ptrdiff_t>(VerifyReport::kMostDamage)) return;
    report_->damage.push_back({std::string(invariant), offset, std::move(what)});
}

void Inspection::not_checked(std::string what) {
    for (const std::string& known : report_->not_checked) {
        if (known == what) return;
    }
    report_->not_checked.push_back(std::move(what));
}

bool Inspection::spend() noexcept {
    if (at_rest_) return true;
    if (budget_ == 0) return false;
    --budget_;
    return true;
}

bool Inspection::readable(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from, std::string_view what) {
    if (offset < pages_at_ || offset % 64 != 0 || !bytes_.inside(offset, bytes) ||
        offset + bytes > page_at(page_count_)) {
        damage(
            "blocks I7", from,
            fmt::format("names {} at {:#x}, which is no place for {} bytes in the data part", what, offset, bytes));
        return false;
    }
    if (!bytes_.allocated(offset, bytes)) {
        damage("blocks I5", from, fmt::format("names {} at {:#x}, where the file has no memory", what, offset));
        return false;
    }
    return true;
}

bool Inspection::is_taken_block(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                                std::string_view what) {
    const std::uint64_t page = page_of(offset);
    const std::uint32_t size_class = class_of_block(bytes);
    const std::uint64_t in_page = (offset - pages_at_) % kPageBytes;
    const PageOwner owner = page_owner(page);
    // Changing: it is looked at whether it is empty.
    const bool has_class =
        owner == page_of_class(size_class) || (is_changing(owner) && class_of_changing(owner) == size_class);
    if (!has_class || in_page % block_bytes_of_class(size_class) != 0) {
        damage("blocks I7", from,
               fmt::format("names {} of {} bytes at {:#x}, in a page of owner word {:#x}", what, bytes, offset,
                           owner));
        return false;
    }
    const std::uint64_t block = in_page >> (6 + size_class);
    if ((block_word(page, block / 64) >> (block % 64) & 1) != 0) {
        damage("blocks I3", from, fmt::format("names {} at {:#x}, a block that is free", what, offset));
        return false;
    }
    return true;
}

bool Inspection::is_taken_run(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from,
                              std::string_view what) {
    if ((offset - pages_at_) % kPageBytes != 0) {
        damage("blocks I7", from,
               fmt::format("names {} of {} bytes at {:#x}, where no page begins", what, bytes, offset));
        return false;
    }
    for (std::uint64_t page = page_of(offset); page_at(page) < offset + bytes; ++page) {
        if (page_owner(page) != kPageInRun) {
            damage("blocks I7", from,
                   fmt::format("names {} of {} bytes at {:#x}, of which page {} is in no run", what, bytes, offset,
                               page));
            return false;
        }
    }
    return true;
}

Reached Inspection::reach(std::uint64_t offset, std::uint64_t bytes, std::uint64_t from, std::string_view what,
                          Holder holder) {
    const std::uint64_t whole = Blocks::block_bytes(bytes);
    if (!readable(offset, bytes, from, what)) return Reached::kNever;
    const bool run = whole > kLargestBlockBytes;
    for (std::uint64_t page = page_of(offset); page_at(page) < offset + bytes; ++page) {
        if (!page_used(page)) {
            damage("blocks I1", from,
                   fmt::format("names {} at {:#x}, in page {}, which is free", what, offset, page));
            return Reached::kNever;
        }
        if (!page_real(page) || (!run && !page_has_tables(page))) {
            damage("blocks I5", from,
                   fmt::format("names {} at {:#x}, in page {}, which was not made real", what, offset, page));
            return Reached::kNever;
        }
    }
    if (!(run ? is_taken_run(offset, bytes, from, what) : is_taken_block(offset, bytes, from, what))) {
        return Reached::kNever;
    }
    if (!at_rest_) return Reached::kNew;
    bool again = false;
    for (std::uint64_t at = offset; at < offset + whole; at += run ? kPageBytes : whole) {
        again |= reached_.test(at / 64);
        reached_.set(at / 64);
    }
    if (again) return Reached::kAgain;
    switch (holder) {
        case Holder::kIndex:
            report_->blocks_reachable += 1;
            break;
        case Holder::kRetired:
            report_->blocks_retired += 1;
            break;
        case Holder::kDead:
            report_->blocks_of_dead += 1;
            break;
    }
    return Reached::kNew;
}

bool Inspection::reach_taken(std::uint64_t taking, std::uint32_t slot_number) {
    const std::uint64_t first = first_taken(taking);
    const std::uint64_t count = count_taken(taking);
    if (count == 0 || first >= page_count_ || count > page_count_ - first) return false;
    const Taking what = what_is_taken(taking);
    if (what > Taking::kUnowned) return false;
    bool any = false;
    for (std::uint64_t page = first; page < first + count; ++page) {
        const PageOwner owner = page_owner(page);
        if (what == Taking::kSome && owner != page_in_transit(slot_number)) continue;
        if (what == Taking::kNamed && was_reached(page_at(page))) continue;  // by an object, which names it
        const bool of_blocks = what == Taking::kLooking || what == Taking::kUnowned;
        if (of_blocks && !is_changing_by(owner, slot_number)) continue;
        if (what == Taking::kLooking) {
            sources.insert(page);  // recovery makes it findable
            continue;
        }
        in_dead_hands_.insert(page);
        any = true;
    }
    if (any) report_->blocks_of_dead += 1;
    return true;
}

}  // namespace shoal
