import { useState } from 'react';

export default function Greeting() {
  const [clicks, setClicks] = useState(0);

  return (
    <>
      <h1 id="greeting">Welcome</h1>
      <button id="count" onClick={() => setClicks(clicks + 1)}>{clicks}</button>
    </>
  );
}
