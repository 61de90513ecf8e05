// Stores whose files were damaged: every call gives a typed error or works; none crashes, hangs or invents.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "catch.hpp"
#include "child.hpp"
#include "result_checks.hpp"
#include "scale.hpp"
#include "shared_counters.hpp"
#include "temporary_store.hpp"

using shoal::Code;
using shoal::Store;
using namespace shoal_test;
namespace fs = std::filesystem;

namespace {

const std::string kRecord = "a record that is there";

// A store at rest that no process has open, and its files as they were.
class StoreAtRest {
public:
    StoreAtRest() {
        auto store = Store::open(place_.path(), with_limit(8 * kMiB));
        REQUIRE_OK(store);
        REQUIRE_OK(store->append("k", kRecord));
        arena_ = store->stats()->arena_path;
        for (const auto& entry : fs::directory_iterator(place_.path()))
            if (entry.is_regular_file() && entry.path() != arena_) metadata_ = entry.path();
        REQUIRE_FALSE(metadata_.empty());
        arena_bytes_ = read_all(arena_);
        metadata_bytes_ = read_all(metadata_);
    }
    ~StoreAtRest() { restore(); }

    std::string path() const { return place_.path(); }
    const std::string& arena() const { return arena_; }
    const std::string& metadata() const { return metadata_; }
    const std::string& arena_bytes() const { return arena_bytes_; }
    const std::string& metadata_bytes() const { return metadata_bytes_; }

    void restore() const {
        write_all(arena_, arena_bytes_);
        write_all(metadata_, metadata_bytes_);
    }

    // The same where the files kept their lengths: writes only the pages that changed.
    void restore_pages() const {
        restore_pages(arena_, arena_bytes_);
        restore_pages(metadata_, metadata_bytes_);
    }

    static std::string read_all(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    static void write_byte(const std::string& path, std::size_t at, char byte) {
        const int file = ::open(path.c_str(), O_WRONLY);
        (void)!::pwrite(file, &byte, 1, static_cast<off_t>(at));
        ::close(file);
    }
    // In place, so that the file stays the same one.
    static void write_all(const std::string& path, const std::string& bytes) {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
        (void)!::ftruncate(file, static_cast<off_t>(bytes.size()));
        std::size_t done = 0;
        while (file >= 0 && done < bytes.size()) {
            const ssize_t wrote =
                ::pwrite(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
            if (wrote <= 0) break;
            done += static_cast<std::size_t>(wrote);
        }
        ::close(file);
    }

private:
    static void restore_pages(const std::string& path, const std::string& bytes) {
        constexpr std::size_t kPage = 4096;
        const int file = ::open(path.c_str(), O_RDWR);
        void* mapped = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        REQUIRE(mapped != MAP_FAILED);
        for (std::size_t at = 0; at < bytes.size(); at += kPage) {
            const std::size_t length = std::min(kPage, bytes.size() - at);
            char* page = static_cast<char*>(mapped) + at;
            if (std::memcmp(page, bytes.data() + at, length) != 0) std::memcpy(page, bytes.data() + at, length);
        }
        ::munmap(mapped, bytes.size());
    }

    TemporaryStore place_;
    std::string arena_, metadata_, arena_bytes_, metadata_bytes_;
};

bool is_answer_to_damage(const shoal::Error& error) {
    switch (error.code) {
        case Code::kIncompatible:
        case Code::kDamaged:
        case Code::kArenaGone:
        case Code::kDestroyed:
        case Code::kNotFound:
        case Code::kPermission:
        case Code::kMemoryLimit:
        case Code::kNoSpace:
        case Code::kTooManyThreads:
        case Code::kSystem:
            return !error.message.empty();
        default:
            return false;
    }
}

// Attaches in a child and uses what it gets. "" when each call worked or gave a typed error.
std::string attach_in_child(const std::string& path, bool append_too, SharedCounters* answers = nullptr) {
    return Child::run([&]() -> std::string {
        ::alarm(20);
        auto store = Store::attach(path);
        if (!store) {
            if (answers != nullptr) (*answers)[static_cast<std::size_t>(store.error().code)].fetch_add(1);
            if (is_answer_to_damage(store.error())) return {};
            return "attach: " + describe(store);
        }
        const auto value = store->get("k");
        if (value && value->text() != kRecord) return "get gave what was never appended";
        if (!value && !is_answer_to_damage(value.error())) return "get: " + describe(value);
        if (!append_too) return {};
        for (int i = 0; i < 50; ++i) {
            const auto appended = store->append("new " + std::to_string(i), std::string(1000, 'n'));
            if (!appended && !is_answer_to_damage(appended.error())) return "append: " + describe(appended);
        }
        return {};
    });
}

// Overwrites each byte of the first `bytes` in turn and attaches; what went wrong, with the offsets.
std::string flip_each_byte(const StoreAtRest& store, const std::string& file, const std::string& intact,
                           std::size_t bytes, bool append_too, SharedCounters* answers = nullptr) {
    std::string failures;
    const std::size_t step = scaled(100) < 100 ? 5 : 1;
    for (std::size_t at = 0; at < std::min(bytes, intact.size()); at += step) {
        for (const int mask : {0xFF, 0x01, 0x80}) {
            StoreAtRest::write_byte(file, at, static_cast<char>(intact[at] ^ mask));
            const std::string wrong = attach_in_child(store.path(), append_too, answers);
            if (!wrong.empty())
                failures += "offset " + std::to_string(at) + " xor " + std::to_string(mask) + ": " + wrong + "\n";
            store.restore_pages();
        }
    }
    return failures;
}

std::string cut_to_each_length(const StoreAtRest& store, const std::string& file, const std::string& intact,
                               const std::vector<std::size_t>& lengths) {
    std::string failures;
    for (const std::size_t length : lengths) {
        std::string cut = intact;
        cut.resize(length, '\0');
        StoreAtRest::write_all(file, cut);
        const std::string wrong = attach_in_child(store.path(), true);
        if (!wrong.empty()) failures += "length " + std::to_string(length) + ": " + wrong + "\n";
        store.restore();
    }
    return failures;
}

}  // namespace

TEST_CASE("A flipped byte in the arena's header gives a typed error or a store that works", "[process]") {
    const StoreAtRest store;
    SharedCounters answers(static_cast<std::size_t>(Code::kSystem) + 1);  // by code
    CHECK(flip_each_byte(store, store.arena(), store.arena_bytes(), 512, false, &answers) == "");
    // The layout's signature is among those bytes, and damage to it is not taken for another build's layout.
    CHECK(answers[static_cast<std::size_t>(Code::kIncompatible)].load() == 0);
    CHECK(answers[static_cast<std::size_t>(Code::kDamaged)].load() > 0);
    CHECK(attach_in_child(store.path(), true) == "");
}

TEST_CASE("A flipped byte in the metadata gives a typed error or a store that works", "[process]") {
    const StoreAtRest store;
    CHECK(flip_each_byte(store, store.metadata(), store.metadata_bytes(), 1024, true) == "");
    auto attached = Store::attach(store.path());
    REQUIRE_OK(attached);
    CHECK(attached->get("k")->text() == kRecord);
}

TEST_CASE("An arena cut short, or longer than it was, gives a typed error or a store that works", "[process]") {
    const StoreAtRest store;
    const std::size_t whole = store.arena_bytes().size();
    std::vector<std::size_t> lengths = {
        0,   1,    7,    8,    63,   64,   65,     127,       128,          255,       256,       511,
        512, 1000, 4095, 4096, 4097, 8192, 65'536, whole / 2, whole - 4096, whole - 1, whole + 1, whole + 4096};
    CHECK(cut_to_each_length(store, store.arena(), store.arena_bytes(), lengths) == "");
}

TEST_CASE("Metadata cut to any length, or longer than it was, gives a typed error or a store that works",
          "[process]") {
    const StoreAtRest store;
    const std::size_t whole = store.metadata_bytes().size();
    std::vector<std::size_t> lengths;
    const std::size_t step = scaled(100) < 100 ? 7 : 1;
    for (std::size_t length = 0; length < std::min<std::size_t>(whole, 1024); length += step)
        lengths.push_back(length);
    for (const std::size_t more : {1U, 8U, 100'000U}) lengths.push_back(whole + more);
    CHECK(cut_to_each_length(store, store.metadata(), store.metadata_bytes(), lengths) == "");
}

TEST_CASE("Files of other content in the arena's or the metadata's place are refused", "[process]") {
    const StoreAtRest store;
    std::string noise(store.arena_bytes().size(), '\0');
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(i * 131 >> 3);
    for (const std::string& other : {noise, std::string(noise.size(), '\0'), std::string(noise.size(), '\xFF')}) {
        StoreAtRest::write_all(store.arena(), other);
        const auto attached = Store::attach(store.path());
        INFO(describe(attached));
        REQUIRE_FALSE(attached.has_value());
        CHECK(is_answer_to_damage(attached.error()));
        CHECK_FALSE(Store::open(store.path()).has_value());
        store.restore();
        StoreAtRest::write_all(store.metadata(), other.substr(0, 5000));
        const auto again = Store::attach(store.path());
        INFO(describe(again));
        REQUIRE_FALSE(again.has_value());
        CHECK(is_answer_to_damage(again.error()));
        store.restore();
    }
    REQUIRE_OK(Store::attach(store.path()));
}

TEST_CASE("A message about damage names the file") {
    const StoreAtRest store;
    std::string damaged = store.metadata_bytes();
    damaged.resize(damaged.size() / 2);
    StoreAtRest::write_all(store.metadata(), damaged);
    const auto attached = Store::attach(store.path());
    REQUIRE_CODE(attached, Code::kDamaged);
    CHECK(attached.error().message.find(store.path()) != std::string::npos);
}

TEST_CASE("When the arena is gone attach and open say so, and after destroy the path is free again") {
    const StoreAtRest store;
    fs::remove(store.arena());
    const auto attached = Store::attach(store.path());
    REQUIRE_CODE(attached, Code::kArenaGone);
    CHECK(attached.error().message.find(store.arena()) != std::string::npos);
    REQUIRE_CODE(Store::open(store.path()), Code::kArenaGone);
    REQUIRE_OK(Store::destroy(store.path()));
    CHECK_FALSE(fs::exists(store.path()));
    REQUIRE_OK(Store::open(store.path(), with_limit(8 * kMiB)));
    REQUIRE_OK(Store::destroy(store.path()));
    fs::create_directory(store.path());  // for restore()
}

TEST_CASE("The arena of another store in the arena's place is refused") {
    const StoreAtRest store;
    const StoreAtRest other;
    StoreAtRest::write_all(store.arena(), other.arena_bytes());
    const auto attached = Store::attach(store.path());
    INFO(describe(attached));
    REQUIRE_FALSE(attached.has_value());
    CHECK(is_answer_to_damage(attached.error()));
}

TEST_CASE("A link, a directory or a pipe in the arena's place is refused") {
    const StoreAtRest store;
    const std::string elsewhere = store.arena() + "-elsewhere";
    const auto refuse = [&](const std::string& what) {
        INFO(what);
        const auto attached = Store::attach(store.path());
        INFO(describe(attached));
        REQUIRE_FALSE(attached.has_value());
        CHECK(is_answer_to_damage(attached.error()));
    };
    fs::rename(store.arena(), elsewhere);
    fs::create_symlink(elsewhere, store.arena());
    refuse("a link to the arena itself");
    fs::remove(store.arena());
    fs::create_directory(store.arena());
    refuse("a directory");
    fs::remove(store.arena());
    REQUIRE(::mkfifo(store.arena().c_str(), 0600) == 0);
    refuse("a pipe");
    fs::remove(store.arena());
    fs::rename(elsewhere, store.arena());
    REQUIRE_OK(Store::attach(store.path()));
}

TEST_CASE("A store whose header is damaged can be destroyed") {
    const StoreAtRest store;
    std::string damaged = store.arena_bytes();
    std::fill_n(damaged.begin(), 4096, '\xA5');
    StoreAtRest::write_all(store.arena(), damaged);
    REQUIRE_FALSE(Store::attach(store.path()).has_value());
    REQUIRE_OK(Store::destroy(store.path()));
    CHECK_FALSE(fs::exists(store.arena()));
    CHECK_FALSE(fs::exists(store.path()));
    fs::create_directory(store.path());  // for restore()
}
