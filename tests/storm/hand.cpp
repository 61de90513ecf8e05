#include "hand.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "hazards.hpp"
#include "record.hpp"

namespace storm {
namespace {

constexpr std::uint32_t kMostBatch = 64;
constexpr std::uint64_t kCheckedCalls = 64;
constexpr std::uint32_t kMostRefusals = 100;  // in a row, for want of descriptors: then the process ends
constexpr std::uint64_t kColdKeyBytes = 300;  // of memory, beside its records, about

std::uint64_t sum_of(const shoal::Records& records) {
    std::uint64_t sum = records.size();
    for (const shoal::ByteView record : records) sum = sum * 31 + XXH3_64bits(record.data(), record.size());
    return sum;
}

// Out of 1000, in the order of the enum in work().
constexpr std::size_t kWorks = 13;
constexpr std::array<std::array<std::uint32_t, kWorks>, static_cast<std::size_t>(Hand::Role::kCount)> kWeights = {{
    // append batch iset get many size contains keys stats hold erase attach fork
    {500, 120, 150, 60, 5, 40, 40, 1, 1, 10, 20, 5, 0},   // mixed
    {700, 200, 90, 2, 0, 2, 2, 0, 0, 0, 3, 1, 0},         // writer
    {100, 20, 20, 550, 50, 120, 120, 1, 1, 30, 0, 1, 0},  // reader
    {550, 50, 50, 20, 0, 20, 10, 0, 0, 10, 288, 2, 0},    // eraser
    {500, 50, 100, 30, 0, 20, 20, 0, 0, 20, 20, 240, 0},  // attacher
    {593, 100, 150, 60, 0, 40, 30, 1, 3, 10, 5, 2, 6},    // forker: its other threads append and sync meanwhile
    {420, 60, 60, 20, 0, 5, 5, 1, 0, 0, 428, 1, 0},       // of the crowd: keys come and go
}};

}  // namespace

std::string store_path(const Ledger& ledger) { return std::string(ledger.header().folder) + "/store"; }

shoal::Options store_options(const Ledger& ledger) {
    shoal::Options options;
    options.memory_limit_bytes = ledger.header().limit_bytes;
    options.arena_dir = ledger.header().folder;
    options.spill_dir = ledger.header().spill_folder;
    return options;
}

Hand::Hand(const Ledger& ledger, std::uint32_t process, std::shared_ptr<shoal::Store> shared, Role role,
           std::uint64_t seed, std::function<void()> in_child)
    : ledger_(&ledger),
      header_(&ledger.header()),
      process_(process),
      shared_(std::move(shared)),
      role_(role),
      chance_(seed),
      in_child_(std::move(in_child)),
      lane_number_(ledger.take_lane(process)),
      lane_(&ledger.lane(lane_number_)),
      check_(ledger) {}

template <class Use>
auto Hand::within(Call call, std::uint32_t key, Use&& use) {
    lane_->doing.store(static_cast<std::uint64_t>(call) << 32 | key, std::memory_order_relaxed);
    auto result = use();
    lane_->doing.store(0, std::memory_order_relaxed);
    lane_->operations.store(lane_->operations.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    header_->calls[static_cast<std::size_t>(call)].fetch_add(1, std::memory_order_relaxed);
    return result;
}

void Hand::fail(const std::string& what) {
    ledger_->fail("thread " + std::to_string(lane_number_) + " of process " + std::to_string(process_) + ": " +
                  what);
    ::_exit(kFoundWrong);
}

void Hand::fail_if(const std::string& wrong, Call call) {
    if (!wrong.empty()) fail(std::string(name_of(call)) + ": " + wrong);
}

// Views aside, a thread is inside an operation for as long as that takes, and an append waits so long. Nobody is
// stopped here, and there are no views; where there are any after all, they are in the error.
void Hand::fail_if_nearly_empty(const shoal::Error& refusal, Call call) {
    const auto stats = store().stats();
    if (!stats || !is_nearly_empty(*stats)) return;
    std::string holders;
    for (const shoal::Attached& each : stats->held_back_by) {
        if (!each.alive || each.stopped || each.is_views) return;
        holders += ", held back by process " + std::to_string(each.process_id) + ", " + each.doing;
    }
    fail(std::string(name_of(call)) + " was refused in a nearly empty store: " + refusal.message + "; " +
         std::to_string(stats->payload_bytes) + " bytes in " + std::to_string(stats->records) + " records of " +
         std::to_string(stats->keys) + " keys, " + std::to_string(stats->used_bytes) + " used, " +
         std::to_string(stats->retired_objects) + " objects retired, " + std::to_string(stats->slots_in_use) +
         " slots" + holders);
}

template <class Made>
Hand::Outcome Hand::judge(const shoal::Result<Made>& result, Call call, bool may_be_refused) {
    if (result) {
        refused_in_a_row_ = 0;
        return Outcome::kGood;
    }
    if (result.error().code == shoal::Code::kMemoryLimit && may_be_refused) {
        header_->refused.fetch_add(1, std::memory_order_relaxed);
        if (header_->roomy != 0) fail_if_nearly_empty(result.error(), call);
        return Outcome::kRefused;
    }
    if (lacks_descriptors(*ledger_, result.error())) {
        header_->refused_by_descriptors.fetch_add(1, std::memory_order_relaxed);
        // A forked child's store that found no descriptor for it refuses every call: such a child ends.
        if (++refused_in_a_row_ == kMostRefusals) ::_exit(0);
        return Outcome::kRefused;
    }
    if (result.error().code == shoal::Code::kDestroyed && header_->destroying.load() != 0) {
        over_ = true;
        return Outcome::kOver;
    }
    fail(std::string(name_of(call)) + " gave '" + std::string(name(result.error().code)) +
         "': " + result.error().message);
}

void Hand::work(std::uint64_t operations) {
    using Work = void (Hand::*)();
    static constexpr std::array<Work, kWorks> kAll = {
        &Hand::append_one, &Hand::append_batch,  &Hand::set_once,  nullptr,           &Hand::read_many,
        &Hand::read_size,  &Hand::read_contains, &Hand::list_keys, &Hand::read_stats, &Hand::hold,
        nullptr,           &Hand::attach,        &Hand::fork_child};
    const auto& weights = kWeights[static_cast<std::size_t>(role_)];
    for (std::uint64_t done = 0; done < operations && !over_; ++done) {
        if (ledger_->phase() != Phase::kWork && ledger_->phase() != Phase::kDestroy) break;
        if (ledger_->full() || ledger_->failed()) break;
        if (done % kCheckedCalls == 0 && ::kill(header_->supervisor, 0) != 0) ::_exit(0);
        if (header_->with_drops != 0 && chance_.one_in(3000)) drop();
        std::uint32_t drawn = chance_.below(1000);
        std::size_t work = 0;
        while (work + 1 < kWorks && drawn >= weights[work]) drawn -= weights[work++];
        if (kAll[work] != nullptr)
            (this->*kAll[work])();
        else if (work == 3)
            read_one(key_to_read());
        else
            erase_one(key_to_erase());
    }
}

shoal::Key& Hand::handle(std::uint32_t key) {
    if (!handles_[key]) {
        auto made = store().key(key_name(key));
        (void)judge(made, Call::kAppendByHandle, false);
        handles_[key] = std::move(*made);
    }
    return *handles_[key];
}

std::uint32_t Hand::cold_key() {
    const std::uint32_t cold = header_->cold_keys.load(), most = header_->most_cold_keys;
    if (cold == 0 || (chance_.one_in(2) && cold < most)) {
        const std::uint32_t fresh = header_->cold_keys.fetch_add(1);
        if (fresh < most) return kHotKeys + fresh;
    }
    return kHotKeys + chance_.below(std::min(cold + 1, most));
}

std::uint32_t Hand::key_to_write() {
    if (role_ == Role::kOfTheCrowd) return cold_key();
    const bool calm = header_->calm_bytes.load() < header_->round_bytes || chance_.one_in(500);
    const std::uint32_t drawn = chance_.below(100);
    if (calm && drawn < 45) {
        const std::uint32_t key = chance_.below(chance_.one_in(2) ? 4 : kKeptKeys);
        if (ledger_->key(key).kept_bytes.load() < header_->round_bytes / 16) return key;
    } else if (calm && drawn < 60) {
        return cold_key();
    }
    return kKeptKeys + chance_.below(kErasedKeys);
}

std::uint32_t Hand::key_to_read() {
    const std::uint32_t drawn = chance_.below(100);
    if (drawn < 40) return chance_.below(kKeptKeys);
    if (drawn < 80) return kKeptKeys + chance_.below(kErasedKeys);
    return kHotKeys + chance_.below(std::min(header_->cold_keys.load() + 2, kKeys - kHotKeys));
}

// One in three is of the crowd: so keys come and go by the thousand, and leaves of the index fill with tombstones.
std::uint32_t Hand::key_to_erase() {
    const std::uint32_t cold = std::min(header_->cold_keys.load(), kKeys - kHotKeys);
    if (cold > 0 && (role_ == Role::kOfTheCrowd || chance_.one_in(3))) return kHotKeys + chance_.below(cold);
    return kKeptKeys + chance_.below(kErasedKeys);
}

std::uint32_t Hand::bytes_to_write(std::uint32_t key) {
    const auto head = static_cast<std::uint32_t>(sizeof(RecordHead));
    if (key >= kHotKeys) return head + chance_.below(40);
    if (header_->roomy != 0 && key >= kKeptKeys && chance_.one_in(8))
        return head + chance_.below(header_->limit_bytes / 256);
    const std::uint32_t drawn = chance_.below(4096);
    if (drawn == 0) return head + chance_.below(header_->limit_bytes / 64);
    if (drawn < 8) return head + chance_.below(150'000);
    if (drawn < 150) return head + chance_.below(6'000);
    return head + chance_.below(150);
}

EntryNumber Hand::begin_record(std::uint32_t key, std::string& record) {
    const std::uint32_t bytes = bytes_to_write(key);
    const EntryNumber number = ledger_->begin(Kind::kRecord, lane_number_, key, bytes);
    if (number == 0)
        over_ = true;
    else
        make_record(
            {0, bytes, header_->round, number, lane_number_, key, static_cast<std::uint32_t>(chance_.word())},
            record);
    return number;
}

void Hand::settle_record(EntryNumber number, Fate fate) {
    ledger_->settle(number, fate);
    const Entry& entry = ledger_->entry(number);
    if (fate != Fate::kDone) return;
    header_->appended.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t key = entry.key;
    const std::uint64_t kept = ledger_->key(key).kept_bytes.fetch_add(entry.bytes) + entry.bytes;
    if (key < kKeptKeys || key >= kHotKeys)
        header_->calm_bytes.fetch_add(entry.bytes + (key < kHotKeys ? 0 : kColdKeyBytes));
    else if (kept > header_->erase_bytes)
        erase_one(key);
}

void Hand::append_one() {
    const std::uint32_t key = key_to_write();
    const EntryNumber number = begin_record(key, record_);
    if (number == 0) return;
    shoal::Result<void> done;
    Call call = Call::kAppend;
    const std::uint32_t way = key < kHotKeys ? chance_.below(4) : 0;
    if (way == 1) {
        call = Call::kAppendByHandle;
        shoal::Key& by = handle(key);
        done = within(call, key, [&] { return store().append(by, record_); });
    } else if (way >= 2) {
        call = Call::kAppendPieces;
        const std::string_view text = record_;
        const std::size_t cut = 1 + chance_.below(text.size() - 1);
        const shoal::ByteView pieces[] = {text.substr(0, cut), text.substr(cut, cut / 2),
                                          text.substr(std::min(cut + cut / 2, text.size()))};
        if (way == 2) {
            const std::string by = key_name(key);
            done = within(call, key, [&] { return store().append(by, pieces); });
        } else {
            shoal::Key& by = handle(key);
            done = within(call, key, [&] { return store().append(by, pieces); });
        }
    } else {
        const std::string by = key_name(key);
        done = within(call, key, [&] { return store().append(by, record_); });
    }
    const Outcome outcome = judge(done, call, true);
    if (outcome != Outcome::kOver) settle_record(number, outcome == Outcome::kGood ? Fate::kDone : Fate::kRefused);
}

void Hand::append_batch() {
    const std::uint32_t size = 1 + chance_.below(kMostBatch);
    std::vector<std::string> records(size), names(size);
    std::vector<EntryNumber> numbers;
    std::vector<shoal::Pair> batch;
    std::uint32_t key = key_to_write();
    for (std::uint32_t at = 0; at < size; ++at) {
        if (chance_.one_in(2)) key = key_to_write();  // else a neighbour of one key
        const EntryNumber number = begin_record(key, records[at]);
        if (number == 0) return;  // none of it was begun in the store
        numbers.push_back(number);
        if (key < kHotKeys && chance_.one_in(2)) {
            batch.emplace_back(handle(key), records[at]);
        } else {
            names[at] = key_name(key);
            batch.emplace_back(shoal::ByteView(names[at]), records[at]);
        }
    }
    const auto done = within(Call::kAppendBatch, key, [&] { return store().append(batch); });
    const Outcome outcome = judge(done, Call::kAppendBatch, true);
    if (outcome == Outcome::kOver) return;
    const std::size_t kept = done ? size : done.error().count;
    if (kept > size || (!done && kept == size))
        fail("a batch of " + std::to_string(size) + " failed and says that it appended " + std::to_string(kept));
    // All of them first: what settle_record does beyond (an erase) comes after the batch.
    for (std::size_t at = size; at-- > kept;) settle_record(numbers[at], Fate::kRefused);
    for (std::size_t at = 0; at < kept; ++at) ledger_->settle(numbers[at], Fate::kDone);
    for (std::size_t at = 0; at < kept; ++at) settle_record(numbers[at], Fate::kDone);
}

void Hand::set_once() {
    const std::uint32_t key = chance_.one_in(8) ? kKeptKeys + chance_.below(kErasedKeys) : key_to_write();
    const EntryNumber number = begin_record(key, record_);
    if (number == 0) return;
    const std::string by = key_name(key);
    const auto done = within(Call::kIset, key, [&] { return store().iset(by, record_); });
    const Outcome outcome = judge(done, Call::kIset, true);
    if (outcome == Outcome::kOver) return;
    settle_record(number, outcome == Outcome::kRefused ? Fate::kRefused : *done ? Fate::kDone : Fate::kTooLate);
}

void Hand::read_one(std::uint32_t key) {
    const std::string by = key_name(key);
    constexpr std::uint32_t kWithViews = 3;  // the first ones: Records are a view too
    std::uint32_t way = chance_.below(key < kHotKeys ? 6 : 5);
    if (header_->roomy != 0) way = kWithViews + way % (key < kHotKeys ? 3 : 2);
    std::string_view value;
    shoal::Result<shoal::Bytes> got;
    shoal::Result<shoal::View> view;
    std::string joined;
    std::string wrong;
    Outcome outcome = Outcome::kGood;
    bool missing = false;
    Call call = Call::kGet;
    const auto look = [&](const auto& result) {
        missing = !result && result.error().code == shoal::Code::kNotFound;
        if (!missing) outcome = judge(result, call, false);
        return !missing && outcome == Outcome::kGood;
    };
    const Ticket before = ledger_->ticket();
    switch (way) {
        case 0:
        case 1: {
            call = Call::kRecords;
            auto records = within(call, key, [&] { return store().records(by); });
            const Ticket after = ledger_->ticket();
            std::vector<std::string_view> all;
            if (look(records)) {
                for (const shoal::ByteView record : *records) all.push_back(record.text());
            }
            if (outcome != Outcome::kGood) return;
            fail_if(check_.cut(key, before, all, after), call);
            header_->read.fetch_add(all.size(), std::memory_order_relaxed);
            return;
        }
        case 2: {
            call = Call::kView;
            view = within(call, key, [&] { return store().view(by); });
            if (look(view)) {
                for (const shoal::ByteView span : view->spans()) joined += span.text();
                value = joined;
                if (joined.size() != view->bytes()) wrong = "a view's bytes() is not what its spans have";
            }
            break;
        }
        case 3: {
            call = Call::kGetInto;
            buffer_.resize(std::max<std::size_t>(buffer_.size(), 4096));
            for (;;) {
                const auto filled = within(call, key, [&] { return store().get_into(by, buffer_); });
                if (filled || filled.error().code != shoal::Code::kBufferTooSmall) {
                    if (look(filled)) value = {reinterpret_cast<const char*>(buffer_.data()), *filled};
                    break;
                }
                if (filled.error().count <= buffer_.size()) fail("get_into needs less than it was given");
                buffer_.resize(filled.error().count);
            }
            break;
        }
        case 5: {
            call = Call::kGetByHandle;
            shoal::Key& known = handle(key);
            got = within(call, key, [&] { return store().get(known); });
            if (look(got)) value = got->text();
            break;
        }
        default:
            got = within(call, key, [&] { return store().get(by); });
            if (look(got)) value = got->text();
    }
    const Ticket after = ledger_->ticket();
    if (outcome != Outcome::kGood) return;
    fail_if(wrong, call);
    fail_if(check_.value(key, before, value, after), call);
    header_->read.fetch_add(check_.found(), std::memory_order_relaxed);
}

void Hand::read_many() {
    std::vector<std::uint32_t> keys;
    std::vector<std::string> names;
    for (std::uint32_t at = 0; at < 5; ++at) {
        keys.push_back(key_to_read());
        names.push_back(key_name(keys.back()));
    }
    const std::vector<shoal::ByteView> asked(names.begin(), names.end());
    const Ticket before = ledger_->ticket();
    const auto got = within(Call::kGetMany, keys[0], [&] { return store().get(asked); });
    const Ticket after = ledger_->ticket();
    if (got.size() != keys.size()) fail("a get of 5 keys gave " + std::to_string(got.size()) + " values");
    for (std::size_t at = 0; at < keys.size(); ++at) {
        const bool missing = !got[at] && got[at].error().code == shoal::Code::kNotFound;
        const Outcome outcome = missing ? Outcome::kGood : judge(got[at], Call::kGetMany, false);
        if (outcome == Outcome::kOver) return;
        if (outcome == Outcome::kRefused) continue;
        fail_if(check_.value(keys[at], before, missing ? std::string_view() : got[at]->text(), after),
                Call::kGetMany);
    }
}

void Hand::read_size() {
    const std::uint32_t key = key_to_read();
    const std::string by = key_name(key);
    const Ticket before = ledger_->ticket();
    const auto size = within(Call::kSize, key, [&] { return store().size(by); });
    const Ticket after = ledger_->ticket();
    const bool missing = !size && size.error().code == shoal::Code::kNotFound;
    if (!missing && judge(size, Call::kSize, false) != Outcome::kGood) return;
    fail_if(check_.size(key, before, missing ? 0 : size->records, missing ? 0 : size->bytes, after), Call::kSize);
}

void Hand::read_contains() {
    const std::uint32_t key = key_to_read();
    const std::string by = key_name(key);
    const Ticket before = ledger_->ticket();
    const auto found = within(Call::kContains, key, [&] { return store().contains(by); });
    const Ticket after = ledger_->ticket();
    if (judge(found, Call::kContains, false) != Outcome::kGood) return;
    fail_if(check_.contains(key, before, *found, after), Call::kContains);
}

void Hand::list_keys() {
    const Ticket before = ledger_->ticket();
    const auto keys = within(Call::kListKeys, 0, [&] { return store().keys(); });
    const Ticket after = ledger_->ticket();
    if (judge(keys, Call::kListKeys, false) != Outcome::kGood) return;
    std::vector<bool> listed(kKeys);
    for (const shoal::Bytes& name : *keys) {
        const std::uint32_t key = key_number(name.text());
        if (key == kKeys) fail("keys() has one that nobody made: " + std::string(name.text().substr(0, 40)));
        if (listed[key]) fail("keys() has twice: " + key_name(key));
        listed[key] = true;
    }
    for (std::uint32_t at = 0; at < 200; ++at) {
        const std::uint32_t key = key_to_read();
        fail_if(check_.contains(key, before, listed[key], after), Call::kListKeys);
    }
}

void Hand::read_stats() {
    const auto stats = within(Call::kStats, 0, [&] { return store().stats(); });
    if (judge(stats, Call::kStats, false) != Outcome::kGood) return;
    if (stats->used_bytes > stats->memory_limit_bytes || stats->real_bytes > stats->memory_limit_bytes)
        fail("stats: " + std::to_string(stats->used_bytes) + " bytes used, " + std::to_string(stats->real_bytes) +
             " real, of " + std::to_string(stats->memory_limit_bytes));
    if (header_->spill_folder[0] == 0) return;
    (void)judge(within(Call::kSync, 0, [&] { return store().sync(); }), Call::kSync, false);
}

void Hand::hold() {
    if (header_->roomy != 0) return;
    if (held_.size() > 0 && sum_of(held_) != held_sum_) fail("Records changed while they were held");
    held_ = {};
    const std::uint32_t key = key_to_read();
    const std::string by = key_name(key);
    auto records = within(Call::kRecords, key, [&] { return store().records(by); });
    if (!records && records.error().code == shoal::Code::kNotFound) return;
    if (judge(records, Call::kRecords, false) != Outcome::kGood) return;
    held_ = std::move(*records);
    held_sum_ = sum_of(held_);
}

void Hand::erase_one(std::uint32_t key) {
    const EntryNumber number = ledger_->begin(Kind::kErase, lane_number_, key, 0);
    if (number == 0) {
        over_ = true;
        return;
    }
    const std::string by = key_name(key);
    const std::uint64_t kept = ledger_->key(key).kept_bytes.exchange(0);
    const auto erased = within(Call::kErase, key, [&] { return store().erase(by); });
    const Outcome outcome = judge(erased, Call::kErase, false);
    if (outcome == Outcome::kRefused) ledger_->settle(number, Fate::kRefused);
    if (outcome != Outcome::kGood) return;
    ledger_->settle(number, *erased ? Fate::kDone : Fate::kNothing);
    if (key < kHotKeys || !*erased) return;
    const std::uint64_t bytes = kept + kColdKeyBytes;
    std::uint64_t calm = header_->calm_bytes.load();
    while (!header_->calm_bytes.compare_exchange_weak(calm, calm - std::min(calm, bytes))) {
    }
}

void Hand::drop() {
    const EntryNumber number = ledger_->begin(Kind::kDrop, lane_number_, 0, 0);
    if (number == 0) {
        over_ = true;
        return;
    }
    const auto dropped = within(Call::kDrop, 0, [&] { return store().drop(); });
    const Outcome outcome = judge(dropped, Call::kDrop, true);
    if (outcome == Outcome::kOver) return;
    ledger_->settle(number, outcome == Outcome::kGood ? Fate::kDone : Fate::kRefused);
    if (outcome != Outcome::kGood) return;
    header_->calm_bytes.store(0);
    for (std::uint32_t key = 0; key < kHotKeys; ++key) ledger_->key(key).kept_bytes.store(0);
}

void Hand::attach() {
    if (own_ && chance_.one_in(2)) {
        within(Call::kDetach, 0, [&] {
            own_.reset();
            return 0;
        });
        return;
    }
    auto attached = within(Call::kAttach, 0, [&] {
        return chance_.one_in(2) ? shoal::Store::attach(store_path(*ledger_))
                                 : shoal::Store::open(store_path(*ledger_), store_options(*ledger_));
    });
    if (header_->destroying.load() != 0) {  // what is there now may be another store
        over_ = true;
        return;
    }
    if (judge(attached, Call::kAttach, false) != Outcome::kGood) return;
    own_ = std::move(*attached);
}

// A child and its child. The child appends, reads and ends; the grandchild, which is the supervisor's from then
// on, goes on for itself, with the store that it was forked with.
void Hand::fork_child() {
    if (header_->may_fork.fetch_sub(1) <= 0) {
        header_->may_fork.fetch_add(1);
        return;
    }
    header_->forks.fetch_add(1, std::memory_order_relaxed);
    lane_->doing.store(static_cast<std::uint64_t>(Call::kFork) << 32, std::memory_order_relaxed);
    const pid_t child = ::fork();
    if (child < 0) fail("fork failed with errno " + std::to_string(errno));
    if (child == 0) {
        {
            Hand hand(*ledger_, ledger_->take_process(::getpid()), shared_, Role::kMixed, chance_.word(), {});
            hand.append_one();
            if (!hand.over_) hand.read_one(chance_.below(kHotKeys));
        }
        if (::fork() == 0) in_child_();
        ::_exit(0);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    lane_->doing.store(0, std::memory_order_relaxed);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        fail("a forked child died of signal " + std::to_string(WTERMSIG(status)));
    if (WIFEXITED(status) && WEXITSTATUS(status) == kFoundWrong) ::_exit(kFoundWrong);
}

}  // namespace storm
