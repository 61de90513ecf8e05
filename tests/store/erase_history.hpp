// One eraser of one key that others append numbered records to. With one eraser the history is known: what was
// acknowledged before an erase began is gone for ever; what was begun after it returned stays until the next.
// Between the two, each writer's records go at some point: those that are left have no hole before it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "ledger.hpp"
#include "numbered_record.hpp"
#include "numbered_workload.hpp"
#include "result_checks.hpp"

namespace shoal_test {

class EraseHistory {
public:
    EraseHistory(shoal::Store& store, Ledger& ledger)
        : store_(store), ledger_(ledger), gone_(ledger.writers(), 0), staying_(ledger.writers(), 0) {}

    // Waits for a few records more, erases, and checks before and after.
    std::string erase_and_check(std::size_t round) {
        const std::uint64_t enough = ledger_.acknowledged_in_all() + round % 50;
        ledger_.allow(enough + 5000);  // what is written while we check must be less than what we checked
        while (ledger_.acknowledged_in_all() < enough && !ledger_.finished()) std::this_thread::yield();
        if (std::string wrong = check(); !wrong.empty()) return wrong;
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer)
            gone_[writer] = std::max(gone_[writer], ledger_.acknowledged(writer, 0));
        EXPECT_OK(store_.erase(key_name(0)));
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer)
            staying_[writer] = ledger_.begun(writer, 0);
        return check();
    }

    std::string check() {
        std::vector<std::uint64_t> acknowledged;
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer)
            acknowledged.push_back(ledger_.acknowledged(writer, 0));
        const auto got = store_.get(key_name(0));
        if (!got) EXPECT_CODE(got, shoal::Code::kNotFound);
        std::string_view value = got ? got->text() : std::string_view();
        std::vector<std::vector<std::uint64_t>> numbers(ledger_.writers());
        while (!value.empty()) {
            NumberedRecord head{};
            if (std::string wrong = take_record(value, head); !wrong.empty()) return wrong;
            EXPECT(head.writer < ledger_.writers());
            EXPECT(numbers[head.writer].empty() || numbers[head.writer].back() < head.number);
            numbers[head.writer].push_back(head.number);
        }
        for (std::size_t writer = 0; writer < ledger_.writers(); ++writer) {
            const auto& there = numbers[writer];
            const std::string name = "writer " + std::to_string(writer) + ": ";
            if (!there.empty() && there.front() < gone_[writer])
                return name + "number " + std::to_string(there.front()) + " is back, all before " +
                       std::to_string(gone_[writer]) + " were erased";
            // Of the acknowledged ones, none is missing behind the first that is there.
            const std::uint64_t from = there.empty() ? acknowledged[writer] : there.front();
            for (std::uint64_t number = from; number < acknowledged[writer]; ++number)
                if (!std::binary_search(there.begin(), there.end(), number))
                    return name + "number " + std::to_string(number) + " is missing behind " + std::to_string(from);
            if (from > staying_[writer] && acknowledged[writer] > staying_[writer])
                return name + "number " + std::to_string(staying_[writer]) +
                       " was begun after the last erase and acknowledged, and is not there; the first that is: " +
                       std::to_string(from);
            gone_[writer] = std::max(gone_[writer], from);
        }
        return {};
    }

private:
    shoal::Store& store_;
    Ledger& ledger_;
    std::vector<std::uint64_t> gone_;     // [writer]: all numbers before this are erased
    std::vector<std::uint64_t> staying_;  // [writer]: no number from this on has been erased
};

}  // namespace shoal_test
