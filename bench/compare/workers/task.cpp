#include "task.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>

#include <sys/resource.h>

namespace compare {

void fail(const std::string& what) { throw std::runtime_error(what); }
void fail_by_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

Task parse_task(int argc, char** argv) {
    std::map<std::string_view, std::string> given;
    for (int at = 1; at + 1 < argc; at += 2) given[argv[at]] = argv[at + 1];
    Task task;
    const auto number = [&](const char* name) {
        const auto at = given.find(name);
        if (at == given.end()) {
            std::fprintf(stderr, "%s: %s is missing; bench/compare starts this program\n", argv[0], name);
            std::exit(2);
        }
        return std::strtod(at->second.c_str(), nullptr);
    };
    task.record_bytes = static_cast<std::size_t>(number("--record-bytes"));
    task.keys = static_cast<std::uint32_t>(number("--keys"));
    task.records = static_cast<std::uint64_t>(number("--records"));
    task.processes = static_cast<unsigned>(number("--processes"));
    task.batched = number("--batched") != 0;
    task.seconds = number("--seconds");
    task.read_seconds = number("--read-seconds");
    task.warm_up = number("--warm-up") != 0;
    task.memory_bytes = static_cast<std::uint64_t>(number("--memory-bytes"));
    task.folder = given["--folder"];
    return task;
}

namespace {

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') result += '\\';
        result += static_cast<unsigned char>(letter) < 0x20 ? ' ' : letter;
    }
    return result + '"';
}

}  // namespace

void print(const Outcome& outcome) {
    std::printf("{\"version\": %s, \"keys_held\": %llu, \"store_bytes\": %llu, \"error\": %s, \"settings\": {",
                quoted(outcome.version).c_str(), static_cast<unsigned long long>(outcome.keys_held),
                static_cast<unsigned long long>(outcome.store_bytes), quoted(outcome.error).c_str());
    const char* comma = "";
    for (const auto& [name, value] : outcome.settings) {
        std::printf("%s%s: %s", comma, quoted(name).c_str(), quoted(value).c_str());
        comma = ", ";
    }
    std::printf("}, \"timings\": {");
    comma = "";
    for (const auto& [name, timing] : outcome.timings) {
        std::printf("%s%s: {\"seconds\": %.9f, \"operations\": %llu, \"bytes\": %llu, \"cpu_seconds\": %.6f}",
                    comma, quoted(name).c_str(), timing.seconds, static_cast<unsigned long long>(timing.operations),
                    static_cast<unsigned long long>(timing.bytes), timing.cpu_seconds);
        comma = ", ";
    }
    std::printf("}}\n");
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Keys::Keys(std::uint32_t count) : name_bytes_(bench::key_name(0).size()) {
    text_.reserve(count * name_bytes_);
    for (std::uint32_t key = 0; key < count; ++key) text_ += bench::key_name(key);
}

Ledger::Ledger(const Task& task)
    : record_bytes_(task.record_bytes), source_(bench::make_records(task.record_bytes)), keys_(task.keys) {
    for (std::size_t record = 0; record < bench::kDistinctRecords; ++record) {
        std::uint64_t word = 0;
        std::memcpy(&word, source_.data() + record * record_bytes_, sizeof word);
        by_first_word_.emplace_back(word, record);
    }
    std::sort(by_first_word_.begin(), by_first_word_.end());
}

// SplitMix64 of the record's number: no other few records have the same sum, but by a chance of 2^-64.
std::uint64_t Ledger::weight(std::size_t record) { return bench::Random(0xc0ffee + record).next(); }

void Ledger::add(std::uint32_t key, std::uint64_t at) {
    Entry& entry = keys_[key];
    ++entry.records;
    entry.sum += weight(at % bench::kDistinctRecords);
}

std::string Ledger::judge(std::uint32_t key, const char* value, std::size_t bytes) const {
    const Entry& expected = keys_[key];
    const std::string name = "key " + std::to_string(key);
    if (bytes != expected.records * record_bytes_) {
        return name + " holds " + std::to_string(bytes) + " bytes, not " + std::to_string(expected.records) +
               " records of " + std::to_string(record_bytes_);
    }
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < bytes; at += record_bytes_) {
        std::uint64_t word = 0;
        std::memcpy(&word, value + at, sizeof word);
        const auto found = std::lower_bound(by_first_word_.begin(), by_first_word_.end(),
                                            std::pair<std::uint64_t, std::size_t>{word, 0});
        if (found == by_first_word_.end() || found->first != word ||
            std::memcmp(value + at, source_.data() + found->second * record_bytes_, record_bytes_) != 0) {
            return name + " holds a record that nobody appended";
        }
        sum += weight(found->second);
    }
    return sum == expected.sum ? "" : name + " has lost a record and doubled another";
}

}  // namespace compare
