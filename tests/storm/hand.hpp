// A hand: one thread that works on the store at random, writes down what it does and judges what it reads.
//
// Thread safety: none; one a thread. What it finds wrong it reports to the ledger, and the process ends.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <shoal/store.hpp>

#include "chance.hpp"
#include "cut_check.hpp"
#include "ledger.hpp"

namespace storm {

// How a process ends that found something wrong, which the ledger holds.
inline constexpr int kFoundWrong = 3;

std::string store_path(const Ledger& ledger);
shoal::Options store_options(const Ledger& ledger);

class Hand {
public:
    enum class Role : std::uint32_t { kMixed, kWriter, kReader, kEraser, kAttacher, kForker, kOfTheCrowd, kCount };

    // `in_child` is what a forked child of this process does; it does not return.
    Hand(const Ledger& ledger, std::uint32_t process, std::shared_ptr<shoal::Store> shared, Role role,
         std::uint64_t seed, std::function<void()> in_child);
    Hand(const Hand&) = delete;
    Hand& operator=(const Hand&) = delete;

    // Until so many operations are done, or the round is over.
    void work(std::uint64_t operations);

    void append_one();
    void read_one(std::uint32_t key);

private:
    // A call of the store's, from the ledger's point of view.
    template <class Use>
    auto within(Call call, std::uint32_t key, Use&& use);
    // What an error means. kGood: there was none. kOver: the store is being destroyed.
    enum class Outcome { kGood, kRefused, kOver };
    template <class Made>
    Outcome judge(const shoal::Result<Made>& result, Call call, bool may_be_refused);
    void fail_if_nearly_empty(const shoal::Error& refusal, Call call);
    void fail_if(const std::string& wrong, Call call);
    [[noreturn]] void fail(const std::string& what);

    shoal::Store& store() { return own_ ? *own_ : *shared_; }
    shoal::Key& handle(std::uint32_t key);

    std::uint32_t cold_key();
    std::uint32_t key_to_write();
    std::uint32_t key_to_read();
    std::uint32_t key_to_erase();
    std::uint32_t bytes_to_write(std::uint32_t key);
    EntryNumber begin_record(std::uint32_t key, std::string& record);
    void settle_record(EntryNumber number, Fate fate);

    void append_batch();
    void set_once();
    void read_many();
    void read_size();
    void read_contains();
    void list_keys();
    void read_stats();  // and syncs, where the store spills
    void hold();
    void erase_one(std::uint32_t key);
    void drop();
    void attach();
    void fork_child();

    const Ledger* ledger_;
    Header* header_;
    std::uint32_t process_;
    std::shared_ptr<shoal::Store> shared_;
    Role role_;
    Chance chance_;
    std::function<void()> in_child_;
    std::uint32_t lane_number_;
    Lane* lane_;
    CutCheck check_;
    std::optional<shoal::Store> own_;
    std::array<std::optional<shoal::Key>, kHotKeys> handles_;
    bool over_ = false;
    std::uint32_t refused_in_a_row_ = 0;

    std::string record_;
    std::vector<std::byte> buffer_;
    shoal::Records held_;  // and what they were
    std::uint64_t held_sum_ = 0;
};

}  // namespace storm
