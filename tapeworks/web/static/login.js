import { takeToken } from "/static/live.js";

function logIn() {
  const token = takeToken();
  if (!token) return;
  const form = document.getElementById("login");
  form.elements.token.value = token;
  form.submit();
}

logIn();
addEventListener("hashchange", logIn); // a link that is opened where this page is shown already
