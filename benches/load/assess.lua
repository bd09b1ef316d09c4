-- Asks one presentation after another, each another than all before: age, days and what is there differ.
local symptoms = {
    "fever", "cough", "headache", "sore throat", "runny nose", "chest pain", "shortness of breath", "abdominal pain", "nausea",
    "vomiting", "diarrhea", "dizziness", "back pain", "rash", "fatigue", "muscle pain", "palpitations", "joint pain",
}
local count, wrong = 0, 0
local round = tonumber(os.getenv("ROUND"))
local is_next = false

function init(arguments)
    wrk.method = "POST"
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
    wrk.headers["Content-Type"] = "application/json"
    is_next = os.getenv("NAME"):find("next") ~= nil
end

function request()
    count = count + 1
    local some = {}
    for step = 0, 3 do
        some[#some + 1] = '"' .. symptoms[(count * (2 * step + 1) + step) % #symptoms + 1] .. '"'
    end
    -- Every number is another age, to a hundred-thousandth of a year.
    local age = 18 + (count + round * 1000003) % 6000000 / 100000
    local body = string.format(
        '{"symptoms": [%s], "age": %.5f, "sex": "%s", "duration": %d, "severity": "moderate"}',
        table.concat(some, ", "), age, count % 2 == 0 and "female" or "male", count % 20 + 1)
    if is_next then body = '{"state": ' .. body .. "}" end
    return wrk.format(nil, nil, nil, body)
end

function response(status)
    if status ~= tonumber(os.getenv("EXPECTED")) then wrong = wrong + 1 end
end

function done(summary, latency, requests)
    local errors = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
    io.write(string.format(
        '{"what": "%s", "per_second": %.0f, "p50_ms": %.2f, "p99_ms": %.2f, "errors": %d}\n', os.getenv("NAME"),
        summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000,
        latency:percentile(99) / 1000, errors))
end
