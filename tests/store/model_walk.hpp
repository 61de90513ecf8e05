// A model of a store, a map from keys to lists of records, and a walk of random steps through both. Payloads are a
// size and a seed, so that a failing case prints and shrinks well. More runs: RC_PARAMS="max_success=10000".
#pragma once

#include <rapidcheck.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <shoal/store.hpp>

#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

namespace shoal_test {

using Model = std::map<std::string, std::vector<std::string>>;

enum class Action {
    kAppend,
    kAppendByHandle,
    kAppendPieces,
    kBatch,
    kGet,
    kGetByHandle,
    kGetMany,
    kGetInto,
    kView,
    kRecords,
    kSize,
    kContains,
    kKeys,
    kIset,
    kErase,
    kDrop,
    kNewHandles,
    kSpill,  // from here on: of stores that spill
    kSpillSome,
    kSetCodec,
    kKeepRecords,
    kCount
};

struct Step {
    int action = 0;
    int key = 0;  // of kKeyNames
    std::size_t size = 0;
    std::uint64_t seed = 0;
    int store = 0;  // which Store object
};

inline std::ostream& operator<<(std::ostream& out, const Step& step) {
    return out << "{action " << step.action << ", key " << step.key << ", size " << step.size << ", seed "
               << step.seed << ", store " << step.store << "}";
}

inline const std::vector<std::string>& key_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> made = {"",
                                         std::string(1, '\0'),
                                         "a",
                                         "a longer key that will not fit into sixteen",
                                         std::string(5000, 'k'),
                                         std::string(shoal::kMaxKeyBytes, 'm')};
        for (int i = 0; i < 30; ++i) made.push_back("key " + std::to_string(i));
        return made;
    }();
    return names;
}

// A third of them shrinks under a codec.
inline std::string payload(std::size_t size, std::uint64_t seed) {
    if (seed % 3 != 0) return pattern(size, seed);
    const std::string word = pattern(20, seed);
    std::string text;
    while (text.size() < size) text += word;
    text.resize(size);
    return text;
}

inline rc::Gen<std::size_t> record_size() {
    return rc::gen::weightedOneOf<std::size_t>({
        {10, rc::gen::inRange<std::size_t>(0, 130)},
        {4, rc::gen::inRange<std::size_t>(0, 5000)},
        {2, rc::gen::inRange<std::size_t>(60'000, 70'000)},
        {1, rc::gen::inRange<std::size_t>(0, 1'200'000)},
    });
}

inline rc::Gen<Step> step() {
    return rc::gen::build<Step>(
        rc::gen::set(&Step::action,
                     rc::gen::weightedOneOf<int>({{6, rc::gen::inRange(0, 4)},  // the ways to append
                                                  {5, rc::gen::inRange(4, static_cast<int>(Action::kErase))},
                                                  {1, rc::gen::inRange(static_cast<int>(Action::kErase),
                                                                       static_cast<int>(Action::kSpill))}})),
        // A quarter of the keys gets most of the steps.
        rc::gen::set(&Step::key, rc::gen::oneOf(rc::gen::inRange(0, 9),
                                                rc::gen::inRange(0, static_cast<int>(key_names().size())))),
        rc::gen::set(&Step::size, record_size()),
        rc::gen::set(&Step::seed, rc::gen::inRange<std::uint64_t>(0, 1000)),
        rc::gen::set(&Step::store, rc::gen::inRange(0, 2)));
}

inline rc::Gen<Step> spilling_step() {
    const auto spills = rc::gen::inRange(static_cast<int>(Action::kSpill), static_cast<int>(Action::kCount));
    const auto with_action = [](const std::tuple<Step, int>& both) {
        Step step = std::get<0>(both);
        step.action = std::get<1>(both);
        return step;
    };
    return rc::gen::weightedOneOf<Step>(
        {{8, step()}, {2, rc::gen::map(rc::gen::tuple(step(), spills), with_action)}});
}

class Walk {
public:
    explicit Walk(std::vector<shoal::Store>& stores, int tries_for_room = 0)
        : stores_(stores), handles_(stores.size()), tries_for_room_(tries_for_room) {
        for (std::size_t i = 0; i < stores.size(); ++i) new_handles(i);
    }

    void take(const Step& step) {
        const std::size_t which = static_cast<std::size_t>(step.store) % stores_.size();
        shoal::Store& store = stores_[which];
        const auto key_index = static_cast<std::size_t>(step.key);
        const std::string& key = key_names()[key_index];
        shoal::Key& handle = handles_[which][key_index];
        const auto modelled = model_.find(key);
        const bool present = modelled != model_.end();
        const auto action = static_cast<Action>(step.action);
        switch (action) {
            case Action::kAppend:
            case Action::kAppendByHandle:
            case Action::kAppendPieces:
                append(store, step, key, handle);
                break;
            case Action::kBatch:
                batch(store, which, step);
                break;
            case Action::kGet:
                check(store.get(key), key);
                break;
            case Action::kGetByHandle:
                check(store.get(handle), key);
                break;
            case Action::kGetMany:
                get_many(store);
                break;
            case Action::kGetInto:
                get_into(store, step, key, handle);
                break;
            case Action::kView: {
                const auto view = store.view(key);
                RC_ASSERT(view.has_value() == present);
                if (!view) break;
                std::string bytes;
                for (const shoal::ByteView span : view->spans()) bytes += span.text();
                RC_ASSERT(view->bytes() == bytes.size());
                RC_ASSERT(bytes == joined(key));
                break;
            }
            case Action::kRecords: {
                const auto records = store.records(key);
                RC_ASSERT(records.has_value() == present);
                if (!records) break;
                RC_ASSERT(records->size() == modelled->second.size());
                for (std::size_t i = 0; i < records->size(); ++i)
                    RC_ASSERT(((*records)[i].text() == modelled->second[i]));
                break;
            }
            case Action::kSize: {
                const auto size = store.size(key);
                RC_ASSERT(size.has_value() == present);
                if (!size) break;
                RC_ASSERT(size->records == modelled->second.size());
                RC_ASSERT(size->bytes == joined(key).size());
                break;
            }
            case Action::kContains:
                RC_ASSERT(store.contains(key).value() == present);
                break;
            case Action::kKeys:
                check_keys(store);
                break;
            case Action::kIset: {
                const std::string value = payload(step.size, step.seed);
                const auto set = with_room([&] { return store.iset(key, value); });
                if (!set) RC_FAIL(describe(set));
                RC_ASSERT(*set == !present);
                if (!present) model_[key].push_back(value);
                break;
            }
            case Action::kErase:
                RC_ASSERT(store.erase(key).value() == present);
                model_.erase(key);
                break;
            case Action::kDrop:
                RC_ASSERT(store.drop().has_value());
                model_.clear();
                break;
            case Action::kNewHandles:
                new_handles(which);
                break;
            case Action::kSpill:
            case Action::kSpillSome: {
                const auto freed = store.spill(action == Action::kSpill ? ~0ULL : step.size);
                if (!freed) RC_FAIL(describe(freed));
                break;
            }
            case Action::kSetCodec: {
                const auto set = store.set_codec(key, codecs()[step.seed % codecs().size()]);
                RC_ASSERT(set.has_value() == present);
                if (!present) RC_ASSERT(failed_with(set, shoal::Code::kNotFound));
                break;
            }
            case Action::kKeepRecords:
                check_kept();
                if (present) keep(store.records(key), modelled->second);
                break;
            case Action::kCount:
                break;
        }
    }

    void check_all() {
        check_kept();
        for (shoal::Store& store : stores_) {
            check_keys(store);
            get_many(store);
            const auto stats = store.stats();
            RC_ASSERT(stats.has_value());
            std::uint64_t records = 0;
            for (const auto& [key, value] : model_) records += value.size();
            RC_ASSERT(stats->keys == model_.size());
            RC_ASSERT(stats->records == records);
        }
    }

private:
    static const std::vector<shoal::Codec>& codecs() {
        static const std::vector<shoal::Codec> all = [] {
            std::vector<shoal::Codec> made;
            for (const char* text : {"none", "lz4", "zstd", "blosc:8"}) made.push_back(*shoal::parse_codec(text));
            return made;
        }();
        return all;
    }

    void keep(shoal::Result<shoal::Records>&& records, const std::vector<std::string>& value) {
        if (!records) RC_FAIL(describe(records));
        kept_.emplace(std::move(*records), value);
    }

    // What came since does not show in records that are held, and what went still does.
    void check_kept() {
        if (!kept_) return;
        const auto& [records, value] = *kept_;
        RC_ASSERT(records.size() == value.size());
        for (std::size_t i = 0; i < value.size(); ++i) RC_ASSERT((records[i].text() == value[i]));
        kept_.reset();
    }

    // Records that are held keep from reuse what is spilled meanwhile: an append that finds no room for that is
    // made anew without them, as is one that waited too short a time for a busy disk.
    template <class Append>
    auto with_room(const Append& append) -> decltype(append()) {
        auto done = append();
        for (int turn = 0; turn < tries_for_room_ && failed_with(done, shoal::Code::kMemoryLimit); ++turn) {
            check_kept();
            done = append();
        }
        return done;
    }

    void new_handles(std::size_t which) {
        handles_[which].clear();
        for (const std::string& name : key_names()) handles_[which].push_back(stores_[which].key(name).value());
    }

    std::string joined(const std::string& key) const {
        std::string bytes;
        for (const std::string& record : model_.at(key)) bytes += record;
        return bytes;
    }

    void append(shoal::Store& store, const Step& step, const std::string& key, shoal::Key& handle) {
        const std::string record = payload(step.size, step.seed);
        const std::string_view text = record;
        const std::size_t third = record.size() / 3;
        const shoal::ByteView pieces[] = {text.substr(0, third), text.substr(third, third), "",
                                          text.substr(2 * third)};
        const auto appended = with_room([&]() -> shoal::Result<void> {
            if (step.action == static_cast<int>(Action::kAppend)) return store.append(key, record);
            if (step.action == static_cast<int>(Action::kAppendByHandle)) return store.append(handle, record);
            if (step.seed % 2 == 0) return store.append(key, pieces);
            return store.append(handle, pieces);
        });
        if (!appended) RC_FAIL(describe(appended));
        model_[key].push_back(record);
    }

    // seed % 60 pairs of up to `size` bytes; keys one after another, by handle and by bytes in turn.
    void batch(shoal::Store& store, std::size_t which, const Step& step) {
        const std::size_t pairs = step.seed % 60;
        std::vector<std::string> records;
        std::vector<std::size_t> keys;
        for (std::size_t i = 0; i < pairs; ++i) {
            const std::size_t share = step.size / (1 + i % 7) / (step.size > 100'000 ? 20 : 1);
            records.push_back(payload(share, step.seed + i));
            keys.push_back((static_cast<std::size_t>(step.key) + i * (1 + step.seed % 3)) % key_names().size());
        }
        std::vector<shoal::Pair> batch;
        for (std::size_t i = 0; i < pairs; ++i) {
            if ((i + step.seed) % 2 == 0)
                batch.emplace_back(handles_[which][keys[i]], records[i]);
            else
                batch.emplace_back(shoal::ByteView(key_names()[keys[i]]), records[i]);
        }
        std::span<const shoal::Pair> left = batch;
        const auto appended = with_room([&]() -> shoal::Result<void> {
            auto done = store.append(left);
            if (!done) left = left.subspan(done.error().count);
            return done;
        });
        if (!appended) RC_FAIL(describe(appended));
        for (std::size_t i = 0; i < pairs; ++i) model_[key_names()[keys[i]]].push_back(records[i]);
    }

    void check(const shoal::Result<shoal::Bytes>& got, const std::string& key) const {
        RC_ASSERT(got.has_value() == (model_.count(key) == 1));
        if (got) RC_ASSERT((got->text() == joined(key)));
        if (!got) RC_ASSERT(got.error().code == shoal::Code::kNotFound);
    }

    void get_many(const shoal::Store& store) const {
        const std::vector<shoal::ByteView> asked(key_names().begin(), key_names().end());
        const auto got = store.get(asked);
        RC_ASSERT(got.size() == asked.size());
        for (std::size_t i = 0; i < got.size(); ++i) check(got[i], key_names()[i]);
    }

    void get_into(const shoal::Store& store, const Step& step, const std::string& key, shoal::Key& handle) const {
        std::vector<std::byte> buffer(step.size);
        const auto bytes = step.seed % 2 == 0 ? store.get_into(key, buffer) : store.get_into(handle, buffer);
        if (model_.count(key) == 0) {
            RC_ASSERT(failed_with(bytes, shoal::Code::kNotFound));
        } else if (const std::string value = joined(key); value.size() > buffer.size()) {
            RC_ASSERT(failed_with(bytes, shoal::Code::kBufferTooSmall));
            RC_ASSERT(bytes.error().count == value.size());
        } else {
            RC_ASSERT(bytes.has_value());
            RC_ASSERT((shoal::ByteView(buffer.data(), *bytes) == shoal::ByteView(value)));
        }
    }

    void check_keys(const shoal::Store& store) const {
        const auto listed = store.keys();
        RC_ASSERT(listed.has_value());
        std::vector<std::string> found, expected_keys;
        for (const shoal::Bytes& key : *listed) found.push_back(key.str());
        for (const auto& [key, value] : model_) expected_keys.push_back(key);
        std::sort(found.begin(), found.end());
        RC_ASSERT((found == expected_keys));
        for (const char* prefix : {"key 1", "a", "m"}) {
            std::vector<std::string> walked, expected_of_prefix;
            const auto done = store.for_each_key(prefix, [&](shoal::ByteView key) {
                walked.emplace_back(key.text());
                return true;
            });
            RC_ASSERT(done.has_value());
            std::copy_if(expected_keys.begin(), expected_keys.end(), std::back_inserter(expected_of_prefix),
                         [&](const std::string& key) { return key.starts_with(prefix); });
            std::sort(walked.begin(), walked.end());
            RC_ASSERT((walked == expected_of_prefix));
        }
    }

    std::vector<shoal::Store>& stores_;
    std::vector<std::vector<shoal::Key>> handles_;
    int tries_for_room_;
    Model model_;
    std::optional<std::pair<shoal::Records, std::vector<std::string>>> kept_;
};

inline void scale_down() {
    const std::string params = "max_success=" + std::to_string(scaled(200, 20));
    ::setenv("RC_PARAMS", params.c_str(), 0);
}

}  // namespace shoal_test
