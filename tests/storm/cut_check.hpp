// Judges what a get, a size or a contains gave, by the ledger alone (DESIGN, "Promises").
//
//   C1  each record is whole, of this round, of this key, and one that the ledger says was begun;
//   C2  each thread's records are in the order it wrote them, each once, and none of them is missing between two;
//   C3  what was acknowledged (or read by anybody) before the get began is there, unless an erase or drop may have
//       taken it;
//   C4  B is never there without A, nor A behind B, where A was acknowledged (or read) before B was begun;
//   C5  what was acknowledged before an erase began is not there once that erase was acknowledged;
//   C6  what was refused, and what an iset was too late with, is never there;
//   C7  two records that somebody read in one order are never read in the other.
//
// An erase that is not settled may take effect until its process is dead, and no longer.
// Thread safety: none; one a thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger.hpp"

namespace storm {

class CutCheck {
public:
    explicit CutCheck(const Ledger& ledger);

    // `before` was taken before the call, `after` after it; `records` are the value, empty when the key was not
    // found. "", or what is wrong.
    std::string cut(std::uint32_t key, Ticket before, std::span<const std::string_view> records, Ticket after);
    std::string value(std::uint32_t key, Ticket before, std::string_view value, Ticket after);
    std::string size(std::uint32_t key, Ticket before, std::uint64_t records, std::uint64_t bytes, Ticket after);
    std::string contains(std::uint32_t key, Ticket before, bool found, Ticket after);

    // Of the last cut.
    std::uint64_t acknowledged() const { return acknowledged_; }  // records there ever were
    std::uint64_t found() const { return found_; }                // of those, in the cut
    std::uint64_t in_flight_in() const { return in_flight_in_; }
    std::uint64_t in_flight_out() const { return in_flight_out_; }

private:
    // What erases and drops may have done to a key by `after`.
    struct Erased {
        bool any = false;
        Ticket gone = 0;     // what was known before this is not there
        Ticket settled = 0;  // what was begun after this was taken by none
    };
    Erased erased(std::uint32_t key, Ticket before, Ticket after) const;
    void add(Erased& sum, const Entry& erase, Ticket before, Ticket after) const;

    std::string take(std::uint32_t key, std::span<const std::string_view> records);
    std::string judge_order(std::uint32_t key) const;
    std::string judge_present(const Erased& erased) const;
    std::string judge_list(std::uint32_t key, Ticket before, const Erased& erased);
    void forget();
    std::string describe(EntryNumber number) const;

    // Large, zero, and real only where it is used: threads come and go by the thousand.
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    template <class T>
    using Zeroes = std::unique_ptr<T[], Free>;
    template <class T>
    static Zeroes<T> zeroes(std::size_t count) {
        auto* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
        if (memory == nullptr) std::abort();
        return Zeroes<T>(memory);
    }

    bool is_present(EntryNumber number) const { return (present_[number / 64] >> (number % 64) & 1) != 0; }

    const Ledger* ledger_;
    std::vector<EntryNumber> cut_;         // in the value's order
    Zeroes<std::uint64_t> present_;        // a bit an entry
    Zeroes<EntryNumber> first_;            // [lane], of the cut
    Zeroes<EntryNumber> last_;             // [lane]
    std::vector<std::string_view> split_;  // of value()
    std::uint64_t acknowledged_ = 0, found_ = 0, in_flight_in_ = 0, in_flight_out_ = 0;
};

}  // namespace storm
