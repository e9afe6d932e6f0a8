export default function Greeting() {
  return <h1 id="greeting">Welcome</h1>;
}
