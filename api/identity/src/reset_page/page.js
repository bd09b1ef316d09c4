
const form = document.querySelector("form");
const said = document.querySelector("[role=status]");
const token = location.hash.slice(1);
// The address no longer shows it, and the history does not keep it.
history.replaceState(null, "", location.pathname);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("api/v1/auth/password/reset", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token, newPassword: form.password.value }),
  });
  form.hidden = answer.ok;
  said.textContent = answer.ok
    ? "Your new password counts. Every other sign-in has ended."
    : (await answer.json()).detail;
});
