// All that a store holds, record by record, and places for backups of it.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"

namespace shoal_test {

using Contents = std::map<std::string, std::vector<std::string>>;

inline Contents contents_of(const shoal::Store& store) {
    Contents contents;
    const auto keys = store.keys();
    for (const auto& key : *keys) {
        std::vector<std::string>& records = contents[std::string(key.text())];
        const auto found = store.records(key);
        if (!found) records.push_back("error: " + found.error().message);
        if (!found) continue;
        for (const shoal::ByteView record : *found) records.emplace_back(record.text());
    }
    return contents;
}

// Where they differ, in few words; "" where they do not.
inline std::string difference(const Contents& found, const Contents& wanted) {
    for (const auto& [key, records] : wanted) {
        const std::string name = "key '" + key.substr(0, 40) + "'";
        const auto at = found.find(key);
        if (at == found.end()) return name + " is missing";
        if (at->second.size() != records.size()) {
            return name + " has " + std::to_string(at->second.size()) + " of " + std::to_string(records.size()) +
                   " records";
        }
        for (std::size_t record = 0; record < records.size(); ++record)
            if (at->second[record] != records[record])
                return name + ": record " + std::to_string(record) + " differs";
    }
    for (const auto& [key, records] : found)
        if (wanted.count(key) == 0) return "key '" + key.substr(0, 40) + "' should not be there";
    return {};
}

// A folder for a backup, and a path and folders for the store that is made of it, whose traces can be seen.
class BackupPlace {
public:
    ~BackupPlace() { (void)shoal::Store::destroy(restored(), by_force()); }

    [[nodiscard]] std::string file() const { return files_ / "backup"; }
    [[nodiscard]] std::string part() const { return file() + ".part"; }
    [[nodiscard]] const std::string& folder() const { return files_.path(); }
    [[nodiscard]] std::string restored() const { return stores_ / "restored"; }
    [[nodiscard]] std::string spills() const { return spills_.path(); }
    // Of the restored store.
    [[nodiscard]] shoal::Options options(std::uint64_t limit_bytes) const {
        shoal::Options options = with_limit(limit_bytes);
        options.arena_dir = arenas_.path();
        return options;
    }
    // What there is of a restored store, by file names.
    [[nodiscard]] std::size_t traces() const {
        return stores_.entries().size() + arenas_.entries().size() + spills_.entries().size();
    }
    [[nodiscard]] std::size_t arenas() const { return arenas_.entries().size(); }
    void lose_memory() const {
        for (const std::string& name : arenas_.entries()) std::filesystem::remove(arenas_ / name);
    }

    // "" or what is wrong with the store that is made of the backup. Then it is destroyed.
    [[nodiscard]] std::string restore_and_compare(const Contents& wanted, const shoal::Options& options) const {
        const auto restored_now = shoal::Store::restore(file(), restored(), options);
        EXPECT_OK(restored_now);
        EXPECT(restored_now->keys == wanted.size());
        std::string wrong;
        {
            auto store = shoal::Store::attach(restored());
            EXPECT_OK(store);
            wrong = difference(contents_of(*store), wanted);
        }
        const auto report = shoal::Store::verify(restored());
        EXPECT_OK(report);
        EXPECT(report->sound());
        EXPECT_OK(shoal::Store::destroy(restored()));
        EXPECT(traces() == 0);
        return wrong;
    }

private:
    TemporaryDirectory files_;
    TemporaryDirectory stores_;
    TemporaryDirectory arenas_{"/dev/shm"};
    TemporaryDirectory spills_;
};

inline std::string bytes_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
inline void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace shoal_test
