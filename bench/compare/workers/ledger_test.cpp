// Whether the check after each run of bench/compare finds what would spoil a figure.
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "task.hpp"

namespace {

// Two keys; one writer appends five records to key 0, 1, 0, 1, 0 in turn.
class OneWriter {
public:
    OneWriter() {
        task_.record_bytes = 64;
        task_.keys = 2;
        ledger_.emplace(task_);
        for (std::uint64_t at = 0; at < 5; ++at) ledger_->add(static_cast<std::uint32_t>(at % 2), at);
    }
    // What is wrong with key 0 if it holds these of the distinct records.
    [[nodiscard]] std::string judge(const std::vector<std::size_t>& records) const {
        std::string value;
        for (const std::size_t record : records) value += text(record);
        return ledger_->judge(0, value.data(), value.size());
    }
    [[nodiscard]] std::string judge_bytes(const std::string& value) const {
        return ledger_->judge(0, value.data(), value.size());
    }
    [[nodiscard]] std::string text(std::size_t record) const {
        return {reinterpret_cast<const char*>(source_.data()) + record * 64, 64};
    }

private:
    compare::Task task_;
    std::vector<std::byte> source_ = bench::make_records(64);
    std::optional<compare::Ledger> ledger_;
};

}  // namespace

TEST_CASE("a value that holds each record of its key once is right, in whatever order") {
    const OneWriter writer;
    CHECK(writer.judge({0, 2, 4}).empty());
    CHECK(writer.judge({4, 0, 2}).empty());
}

TEST_CASE("a lost, a doubled and another key's record are told") {
    const OneWriter writer;
    CHECK(writer.judge({0, 2}) == "key 0 holds 128 bytes, not 3 records of 64");
    CHECK(writer.judge({0, 2, 4, 4}) == "key 0 holds 256 bytes, not 3 records of 64");
    CHECK(writer.judge({0, 2, 2}) == "key 0 has lost a record and doubled another");
    CHECK(writer.judge({0, 2, 1}) == "key 0 has lost a record and doubled another");
}

TEST_CASE("a record with one bit spoiled is told") {
    const OneWriter writer;
    for (const std::size_t at : {std::size_t{0}, std::size_t{63}, std::size_t{191}}) {
        std::string value = writer.text(0) + writer.text(2) + writer.text(4);
        value[at] = static_cast<char>(value[at] ^ 1);
        CHECK(writer.judge_bytes(value) == "key 0 holds a record that nobody appended");
    }
}
