// RapidCheck against a model: a map from keys to lists of records, all operations, random sizes, stores of random
// shapes, one or two Store objects on one store. Payloads are a size and a seed, so that a failing case prints
// and shrinks well. More runs: RC_PARAMS="max_success=10000".
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "pattern.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "temporary_store.hpp"

using shoal::ByteView;
using shoal::Code;
using shoal::Store;
using namespace shoal_test;

namespace {

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
    kCount
};

struct Step {
    int action = 0;
    int key = 0;  // of kKeyNames
    std::size_t size = 0;
    std::uint64_t seed = 0;
    int store = 0;  // which Store object
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
    return out << "{action " << step.action << ", key " << step.key << ", size " << step.size << ", seed "
               << step.seed << ", store " << step.store << "}";
}

const std::vector<std::string>& key_names() {
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

rc::Gen<std::size_t> record_size() {
    return rc::gen::weightedOneOf<std::size_t>({
        {10, rc::gen::inRange<std::size_t>(0, 130)},
        {4, rc::gen::inRange<std::size_t>(0, 5000)},
        {2, rc::gen::inRange<std::size_t>(60'000, 70'000)},
        {1, rc::gen::inRange<std::size_t>(0, 1'200'000)},
    });
}

rc::Gen<Step> step() {
    return rc::gen::build<Step>(
        rc::gen::set(&Step::action,
                     rc::gen::weightedOneOf<int>({{6, rc::gen::inRange(0, 4)},  // the ways to append
                                                  {5, rc::gen::inRange(4, static_cast<int>(Action::kErase))},
                                                  {1, rc::gen::inRange(static_cast<int>(Action::kErase),
                                                                       static_cast<int>(Action::kCount))}})),
        // A quarter of the keys gets most of the steps.
        rc::gen::set(&Step::key, rc::gen::oneOf(rc::gen::inRange(0, 9),
                                                rc::gen::inRange(0, static_cast<int>(key_names().size())))),
        rc::gen::set(&Step::size, record_size()),
        rc::gen::set(&Step::seed, rc::gen::inRange<std::uint64_t>(0, 1000)),
        rc::gen::set(&Step::store, rc::gen::inRange(0, 2)));
}

rc::Gen<shoal::Options> store_shape() {
    return rc::gen::map(rc::gen::tuple(rc::gen::inRange(6U, 21U), rc::gen::inRange(16U, 21U)),
                        [](std::tuple<unsigned, unsigned> powers) {
                            shoal::Options options = with_limit(256 * kMiB);
                            options.max_segment_bytes = 1U << std::get<1>(powers);
                            options.first_segment_bytes = 1U << std::min(std::get<0>(powers), std::get<1>(powers));
                            return options;
                        });
}

class Walk {
public:
    explicit Walk(std::vector<Store>& stores) : stores_(stores), handles_(stores.size()) {
        for (std::size_t i = 0; i < stores.size(); ++i) new_handles(i);
    }

    void take(const Step& step) {
        const std::size_t which = static_cast<std::size_t>(step.store) % stores_.size();
        Store& store = stores_[which];
        const auto key_index = static_cast<std::size_t>(step.key);
        const std::string& key = key_names()[key_index];
        shoal::Key& handle = handles_[which][key_index];
        const auto modelled = model_.find(key);
        const bool present = modelled != model_.end();
        switch (static_cast<Action>(step.action)) {
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
                for (const ByteView span : view->spans()) bytes += span.text();
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
                const std::string value = pattern(step.size, step.seed);
                RC_ASSERT(store.iset(key, value).value() == !present);
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
            case Action::kCount:
                break;
        }
    }

    void check_all() {
        for (Store& store : stores_) {
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
    void new_handles(std::size_t which) {
        handles_[which].clear();
        for (const std::string& name : key_names()) handles_[which].push_back(stores_[which].key(name).value());
    }

    std::string joined(const std::string& key) const {
        std::string bytes;
        for (const std::string& record : model_.at(key)) bytes += record;
        return bytes;
    }

    void append(Store& store, const Step& step, const std::string& key, shoal::Key& handle) {
        const std::string record = pattern(step.size, step.seed);
        const std::string_view text = record;
        const std::size_t third = record.size() / 3;
        const ByteView pieces[] = {text.substr(0, third), text.substr(third, third), "", text.substr(2 * third)};
        shoal::Result<void> appended;
        if (step.action == static_cast<int>(Action::kAppend))
            appended = store.append(key, record);
        else if (step.action == static_cast<int>(Action::kAppendByHandle))
            appended = store.append(handle, record);
        else if (step.seed % 2 == 0)
            appended = store.append(key, pieces);
        else
            appended = store.append(handle, pieces);
        if (!appended) RC_FAIL(describe(appended));
        model_[key].push_back(record);
    }

    // seed % 60 pairs of up to `size` bytes; keys one after another, by handle and by bytes in turn.
    void batch(Store& store, std::size_t which, const Step& step) {
        const std::size_t pairs = step.seed % 60;
        std::vector<std::string> records;
        std::vector<std::size_t> keys;
        for (std::size_t i = 0; i < pairs; ++i) {
            const std::size_t share = step.size / (1 + i % 7) / (step.size > 100'000 ? 20 : 1);
            records.push_back(pattern(share, step.seed + i));
            keys.push_back((static_cast<std::size_t>(step.key) + i * (1 + step.seed % 3)) % key_names().size());
        }
        std::vector<shoal::Pair> batch;
        for (std::size_t i = 0; i < pairs; ++i) {
            if ((i + step.seed) % 2 == 0)
                batch.emplace_back(handles_[which][keys[i]], records[i]);
            else
                batch.emplace_back(ByteView(key_names()[keys[i]]), records[i]);
        }
        const auto appended = store.append(batch);
        if (!appended) RC_FAIL(describe(appended));
        for (std::size_t i = 0; i < pairs; ++i) model_[key_names()[keys[i]]].push_back(records[i]);
    }

    void check(const shoal::Result<shoal::Bytes>& got, const std::string& key) const {
        RC_ASSERT(got.has_value() == (model_.count(key) == 1));
        if (got) RC_ASSERT((got->text() == joined(key)));
        if (!got) RC_ASSERT(got.error().code == Code::kNotFound);
    }

    void get_many(const Store& store) const {
        const std::vector<ByteView> asked(key_names().begin(), key_names().end());
        const auto got = store.get(asked);
        RC_ASSERT(got.size() == asked.size());
        for (std::size_t i = 0; i < got.size(); ++i) check(got[i], key_names()[i]);
    }

    void get_into(const Store& store, const Step& step, const std::string& key, shoal::Key& handle) const {
        std::vector<std::byte> buffer(step.size);
        const auto bytes = step.seed % 2 == 0 ? store.get_into(key, buffer) : store.get_into(handle, buffer);
        if (model_.count(key) == 0) {
            RC_ASSERT(failed_with(bytes, Code::kNotFound));
        } else if (const std::string value = joined(key); value.size() > buffer.size()) {
            RC_ASSERT(failed_with(bytes, Code::kBufferTooSmall));
            RC_ASSERT(bytes.error().count == value.size());
        } else {
            RC_ASSERT(bytes.has_value());
            RC_ASSERT((ByteView(buffer.data(), *bytes) == ByteView(value)));
        }
    }

    void check_keys(const Store& store) const {
        const auto listed = store.keys();
        RC_ASSERT(listed.has_value());
        std::vector<std::string> found, expected_keys;
        for (const shoal::Bytes& key : *listed) found.push_back(key.str());
        for (const auto& [key, value] : model_) expected_keys.push_back(key);
        std::sort(found.begin(), found.end());
        RC_ASSERT((found == expected_keys));
    }

    std::vector<Store>& stores_;
    std::vector<std::vector<shoal::Key>> handles_;
    Model model_;
};

void scale_down() {
    const std::string params = "max_success=" + std::to_string(scaled(200, 20));
    ::setenv("RC_PARAMS", params.c_str(), 0);
}

}  // namespace

TEST_CASE("A store does what a map of lists does") {
    scale_down();
    REQUIRE(rc::check("one Store", [] {
        const auto shape = *store_shape();
        const auto steps = *rc::gen::container<std::vector<Step>>(step());
        std::vector<Store> stores;
        stores.push_back(Store::in_memory(shape).value());
        Walk walk(stores);
        for (const Step& each : steps) walk.take(each);
        walk.check_all();
    }));
}

TEST_CASE("Two Store objects of one path do together what a map of lists does") {
    scale_down();
    REQUIRE(rc::check("two Stores", [] {
        const auto shape = *store_shape();
        const auto steps = *rc::gen::container<std::vector<Step>>(step());
        const TemporaryStore place;
        std::vector<Store> stores;
        stores.push_back(Store::open(place.path(), shape).value());
        stores.push_back(Store::attach(place.path()).value());
        Walk walk(stores);
        for (const Step& each : steps) walk.take(each);
        walk.check_all();
    }));
}
