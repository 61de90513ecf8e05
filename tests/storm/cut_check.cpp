#include "cut_check.hpp"

#include <algorithm>

#include "record.hpp"

namespace storm {
namespace {

constexpr Ticket kNever = ~0ULL;

std::string_view word_of(Fate fate) {
    switch (fate) {
        case Fate::kUnknown:
            return "not settled";
        case Fate::kDone:
            return "done";
        case Fate::kRefused:
            return "refused";
        case Fate::kTooLate:
            return "too late";
        case Fate::kNothing:
            return "nothing to erase";
    }
    return "?";
}

}  // namespace

CutCheck::CutCheck(const Ledger& ledger)
    : ledger_(&ledger),
      present_(zeroes<std::uint64_t>(kMostEntries / 64 + 1)),
      first_(zeroes<EntryNumber>(kMostLanes)),
      last_(zeroes<EntryNumber>(kMostLanes)) {}

std::string CutCheck::describe(EntryNumber number) const {
    const Entry& entry = ledger_->entry(number);
    const Lane& lane = ledger_->lane(entry.lane);
    return "record " + std::to_string(number) + " (thread " + std::to_string(entry.lane) + " of process " +
           std::to_string(lane.process.load() - 1) + ", dead at " + std::to_string(lane.dead.load()) + ", " +
           std::to_string(entry.bytes) + " bytes, begun at " + std::to_string(entry.begin) + ", known at " +
           std::to_string(entry.known.load()) + ", " + std::string(word_of(entry.fate.load())) + ")";
}

void CutCheck::add(Erased& sum, const Entry& erase, Ticket before, Ticket after) const {
    if (erase.begin > after) return;
    const Ticket known = erase.known.load();
    const Fate fate = known == 0 ? Fate::kUnknown : erase.fate.load();
    if (known != 0 && known < before && (fate == Fate::kDone || fate == Fate::kNothing))
        sum.gone = std::max(sum.gone, erase.begin);
    if (fate == Fate::kNothing) return;
    const Ticket dead = ledger_->lane(erase.lane).dead.load();
    sum.any = true;
    sum.settled = std::max(sum.settled, known != 0 ? known : dead != 0 ? dead : kNever);
}

CutCheck::Erased CutCheck::erased(std::uint32_t key, Ticket before, Ticket after) const {
    Erased sum;
    for (const auto* list : {&ledger_->key(key).erases, &ledger_->header().drops}) {
        for (EntryNumber at = list->load(); at != 0; at = ledger_->entry(at).older)
            add(sum, ledger_->entry(at), before, after);
    }
    return sum;
}

std::string CutCheck::value(std::uint32_t key, Ticket before, std::string_view value, Ticket after) {
    split_.clear();
    while (!value.empty()) {
        const std::string_view record = first_record(value);
        if (record.empty())
            return "C1: after " + std::to_string(split_.size()) + " records of " + key_name(key) + " come " +
                   std::to_string(value.size()) + " bytes that are no record";
        split_.push_back(record);
        value.remove_prefix(record.size());
    }
    return cut(key, before, split_, after);
}

std::string CutCheck::cut(std::uint32_t key, Ticket before, std::span<const std::string_view> records,
                          Ticket after) {
    const Erased gone = erased(key, before, after);
    std::string wrong = take(key, records);
    if (wrong.empty()) wrong = judge_order(key);
    if (wrong.empty()) wrong = judge_present(gone);
    if (wrong.empty()) wrong = judge_list(key, before, gone);
    if (wrong.empty()) {
        for (const EntryNumber number : cut_) {  // it has been read: from now on it is there for everybody
            Ticket nobody = 0;
            ledger_->entry(number).known.compare_exchange_strong(nobody, after);
        }
        if (cut_.size() > 1) {
            const std::size_t at = before % (cut_.size() - 1);
            ledger_->key(key).witness[after % kWitnesses].store(static_cast<std::uint64_t>(cut_[at]) << 32 |
                                                                cut_[at + 1]);
        }
    } else {
        wrong = key_name(key).substr(0, 20) + ", " + std::to_string(cut_.size()) + " records, get from " +
                std::to_string(before) + " to " + std::to_string(after) + ", erased before " +
                std::to_string(gone.gone) + ", erases settled at " + std::to_string(gone.settled) + ": " + wrong;
    }
    forget();
    return wrong;
}

std::string CutCheck::take(std::uint32_t key, std::span<const std::string_view> records) {
    const EntryNumber entries = ledger_->header().entries.load();
    for (const std::string_view record : records) {
        RecordHead head{};
        const std::string place = "C1: record " + std::to_string(cut_.size()) + " ";
        if (!read_record(record, head)) return place + "is torn";
        if (head.round != ledger_->header().round) return place + "is of round " + std::to_string(head.round);
        if (head.entry == 0 || head.entry >= entries) return place + "was never begun";
        const Entry& entry = ledger_->entry(head.entry);
        if (entry.kind != Kind::kRecord || entry.key != key || head.key != key || entry.lane != head.lane ||
            entry.bytes != head.bytes)
            return place + "is not what the ledger says: " + describe(head.entry);
        if (is_present(head.entry)) return "C2: twice: " + describe(head.entry);
        if (last_[head.lane] > head.entry)
            return "C2: " + describe(head.entry) + " comes after " + describe(last_[head.lane]);
        if (first_[head.lane] == 0) first_[head.lane] = head.entry;
        last_[head.lane] = head.entry;
        present_[head.entry / 64] |= 1ULL << (head.entry % 64);
        cut_.push_back(head.entry);
    }
    return {};
}

std::string CutCheck::judge_order(std::uint32_t key) const {
    Ticket known_behind = kNever;
    EntryNumber behind = 0;
    for (auto at = cut_.rbegin(); at != cut_.rend(); ++at) {
        const Entry& entry = ledger_->entry(*at);
        if (known_behind < entry.begin)
            return "C4: " + describe(behind) + " comes behind one that was begun later, " + describe(*at);
        const Ticket known = entry.known.load();
        if (known != 0 && known < known_behind) {
            known_behind = known;
            behind = *at;
        }
    }
    for (const auto& witness : ledger_->key(key).witness) {
        const std::uint64_t pair = witness.load();
        const auto first = static_cast<EntryNumber>(pair >> 32), second = static_cast<EntryNumber>(pair);
        if (pair == 0 || !is_present(first) || !is_present(second)) continue;
        if (std::find(cut_.begin(), cut_.end(), first) > std::find(cut_.begin(), cut_.end(), second))
            return "C7: somebody read " + describe(first) + " before " + describe(second);
    }
    return {};
}

std::string CutCheck::judge_present(const Erased& erased) const {
    for (const EntryNumber number : cut_) {
        const Ticket known = ledger_->entry(number).known.load();
        if (known != 0 && known < erased.gone) return "C5: " + describe(number) + " was erased and is back";
    }
    return {};
}

std::string CutCheck::judge_list(std::uint32_t key, Ticket before, const Erased& erased) {
    acknowledged_ = found_ = in_flight_in_ = in_flight_out_ = 0;
    // All acknowledged before this is there: before the get began, or before a record was begun that it has.
    Ticket threshold = before;
    // What was begun after this is in the same chain as what the cut has, so no erase has come between.
    Ticket same_chain = kNever;
    for (const EntryNumber number : cut_) {
        const Entry& entry = ledger_->entry(number);
        threshold = std::max(threshold, entry.begin);
        const Ticket known = entry.known.load();
        if (known != 0) same_chain = std::min(same_chain, known);
    }
    for (EntryNumber at = ledger_->key(key).records.load(); at != 0; at = ledger_->entry(at).older) {
        const Entry& entry = ledger_->entry(at);
        const Ticket known = entry.known.load();
        const Fate fate = entry.fate.load();
        const bool absent_by_right = fate == Fate::kRefused || fate == Fate::kTooLate;
        acknowledged_ += fate == Fate::kDone ? 1 : 0;
        if (is_present(at)) {
            if (absent_by_right) return "C6: there is " + describe(at);
            fate == Fate::kDone ? ++found_ : ++in_flight_in_;
            continue;
        }
        in_flight_out_ += fate == Fate::kUnknown ? 1 : 0;
        const bool must_be_known = known != 0 && known < threshold;
        if (fate == Fate::kTooLate) {
            if (cut_.empty() && known != 0 && known < before && entry.begin > erased.settled)
                return "C3: no value, though an iset was told that there is one: " + describe(at);
            continue;
        }
        if (absent_by_right) continue;
        if (must_be_known && entry.begin > erased.settled) return "C3/C4: missing is " + describe(at);
        if (must_be_known && entry.begin > same_chain)
            return "C4: missing, with no erase between, is " + describe(at);
        const EntryNumber first = first_[entry.lane], last = last_[entry.lane];
        if (at < last && (!erased.any || (first != 0 && at > first)))
            return "C2: missing is " + describe(at) + " before " + describe(last);
    }
    return {};
}

void CutCheck::forget() {
    for (const EntryNumber number : cut_) {
        const std::uint32_t lane = ledger_->entry(number).lane;
        present_[number / 64] = 0;
        first_[lane] = 0;
        last_[lane] = 0;
    }
    cut_.clear();
}

std::string CutCheck::size(std::uint32_t key, Ticket before, std::uint64_t records, std::uint64_t bytes,
                           Ticket after) {
    const Erased gone = erased(key, before, after);
    std::uint64_t least = 0, least_bytes = 0, most = 0, most_bytes = 0;
    for (EntryNumber at = ledger_->key(key).records.load(); at != 0; at = ledger_->entry(at).older) {
        const Entry& entry = ledger_->entry(at);
        const Ticket known = entry.known.load();
        most += 1;
        most_bytes += entry.bytes;
        const Fate fate = entry.fate.load();
        if (fate == Fate::kRefused || fate == Fate::kTooLate) continue;
        if (known == 0 || known > before || entry.begin < gone.settled) continue;
        least += 1;
        least_bytes += entry.bytes;
    }
    if (records >= least && records <= most && bytes >= least_bytes && bytes <= most_bytes) return {};
    return "size of " + key_name(key).substr(0, 20) + ": " + std::to_string(records) + " records, " +
           std::to_string(bytes) + " bytes; there must be " + std::to_string(least) + " to " +
           std::to_string(most) + " records, " + std::to_string(least_bytes) + " to " + std::to_string(most_bytes) +
           " bytes";
}

std::string CutCheck::contains(std::uint32_t key, Ticket before, bool found, Ticket after) {
    if (!found) return cut(key, before, {}, after);
    const Erased gone = erased(key, before, after);
    for (EntryNumber at = ledger_->key(key).records.load(); at != 0; at = ledger_->entry(at).older) {
        const Entry& entry = ledger_->entry(at);
        const Ticket known = entry.known.load();
        const Fate fate = entry.fate.load();
        if (fate == Fate::kRefused || fate == Fate::kTooLate) continue;
        if (known == 0 || known > gone.gone) return {};
    }
    return "C5: contains(" + key_name(key).substr(0, 20) + ") is true, and all it ever had is erased";
}

}  // namespace storm
