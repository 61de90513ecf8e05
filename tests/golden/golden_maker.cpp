#include "golden_maker.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <shoal/store.hpp>

namespace shoal_golden {
namespace {

namespace fs = std::filesystem;
using shoal::Store;

const std::string kMerged = "merged";  // spilled after each record

// Every codec; extents and bundles; segments that were merged; a record in parts; an empty key and empty records.
std::vector<Key> keys_to_write() {
    std::vector<Key> keys = {{"plain", 240, 1, ""},
                             {"plain and short", 6, 1, ""},
                             {kMerged, 96, 1, ""},
                             {"lz4", 90, 1, "lz4"},
                             {"zstd", 90, 1, "zstd:9"},
                             {"blosc of bytes", 90, 1, "blosc:8"},
                             {"blosc of bits", 90, 1, "blosc:type_size=4,shuffle=bit,inner=zstd"},
                             {"parts", 1, 150'000, "zstd:9"},
                             {"", 3, 1, ""},
                             {"empty records", 4, 0, ""}};
    for (int number = 0; number < 8; ++number) keys.push_back({"one of many " + std::to_string(number), 1, 1, ""});
    return keys;
}

std::string said(const std::string& what, const shoal::Error& error) { return what + ": " + error.message; }

// Records first … end - 1 of each key, where it has them.
std::string append(Store& store, const std::vector<Key>& keys, std::size_t step, std::size_t steps) {
    for (const Key& key : keys) {
        for (std::size_t at = key.records * step / steps; at < key.records * (step + 1) / steps; ++at) {
            if (auto done = store.append(key.name, record(key, at)); !done) return said("append", done.error());
            if (key.name != kMerged) continue;
            if (auto done = store.spill(); !done) return said("spill", done.error());
        }
        if (key.records * (step + 1) / steps == 0 || key.codec.empty()) continue;
        if (auto done = store.set_codec(key.name, *shoal::parse_codec(key.codec)); !done)
            return said("set_codec", done.error());
    }
    return {};
}

// A value in a file, and one in memory, are erased.
std::string erase(Store& store, std::size_t step) {
    for (const bool is_spilled : {true, false}) {
        const std::string key = "erased " + std::to_string(step) + (is_spilled ? "" : " from memory");
        if (auto done = store.append(key, "erased"); !done) return said("append", done.error());
        if (is_spilled) {
            if (auto done = store.spill(); !done) return said("spill", done.error());
        }
        if (auto done = store.erase(key); !done) return said("erase", done.error());
    }
    return {};
}

// In `restores` + 1 lives of the arena, of which each begins with the checkpoint of the one before.
std::string make_store(const std::string& path, const std::vector<Key>& keys, std::size_t restores) {
    const std::string arenas = path + ".arenas";
    fs::create_directory(arenas);
    shoal::Options options;
    options.memory_limit_bytes = 8 << 20;
    options.arena_dir = arenas;
    options.spill_thread = false;
    options.durable = true;
    for (std::size_t life = 0; life <= restores; ++life) {
        auto store = Store::open(path, options);
        if (!store) return said("open", store.error());
        // Half of it is spilled, and the other half copied from memory by the sync.
        for (const std::size_t half : {2 * life, 2 * life + 1}) {
            if (auto what = append(*store, keys, half, 2 * restores + 2); !what.empty()) return what;
            if (half % 2 != 0) continue;
            if (auto done = store->spill(); !done) return said("spill", done.error());
            if (auto done = store->sync(); !done) return said("sync", done.error());  // a base; then a delta
        }
        if (auto what = erase(*store, life); !what.empty()) return what;
        if (auto done = store->sync(); !done) return said("sync", done.error());
        store = tl::unexpected(shoal::Error{});
        for (const auto& arena : fs::directory_iterator(arenas)) fs::remove(arena);
    }
    fs::remove(arenas);
    return {};
}

}  // namespace

std::string record(const Key& key, std::size_t number) {
    const std::string once = key.name + " " + std::to_string(number) + ";";
    std::string all;
    all.reserve(once.size() * key.repeat);
    for (std::size_t turn = 0; turn < key.repeat; ++turn) all += once;
    return all;
}

std::string contents(const std::vector<Key>& keys) {
    std::ostringstream text;
    for (const Key& key : keys) text << key.records << ' ' << key.repeat << ' ' << key.name << '\n';
    return text.str();
}

std::vector<Key> parse_contents(const std::string& text) {
    std::vector<Key> keys;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        Key key;
        fields >> key.records >> key.repeat;
        fields.ignore(1);
        std::getline(fields, key.name);
        keys.push_back(std::move(key));
    }
    return keys;
}

std::string make_stores(const std::string& folder) {
    const std::vector<Key> keys = keys_to_write();
    std::ofstream(folder + "/contents", std::ios::binary) << contents(keys);
    if (auto what = make_store(folder + "/first", keys, 0); !what.empty()) return what;
    return make_store(folder + "/restored", keys, 2);
}

}  // namespace shoal_golden
